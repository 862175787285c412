"""`aws_codepipeline` as the tree that every format shares. Source: the AWS provider's documentation of the resource."""

from collections.abc import Mapping

from msgspec import Struct

from pipeyard.definition.declaration import Notes, suggestion
from pipeyard.definition.documents import KNOWN_LATER, Items, Leaf, Node, Table, Unknown
from pipeyard.definition.terraform.contents import Contents, UnknownNumber
from pipeyard.definition.terraform.numbers import number_text
from pipeyard.definition.terraform.syntax import Expression, Literal, ObjectOf, Parentheses, TupleOf
from pipeyard.definition.terraform.values import NUMBER, Value, is_mapping, is_sequence, way_out
from pipeyard.errors import InputError, Place


class Shape(Struct, frozen=True):
    """Arguments and nested blocks of a block with the API's names for them.

    A name with a dot goes into a table of its own; one that ends in `[]` is a list of names that the API wraps in
    objects. `many` are blocks that may come often, `one` those that come once.
    """

    arguments: Mapping[str, str]
    many: Mapping[str, tuple[str, "Shape"]] = {}
    one: Mapping[str, tuple[str, "Shape"]] = {}
    ignored: frozenset[str] = frozenset()


_FILTER = Shape({"includes": "includes", "excludes": "excludes"})
_RULE = Shape(
    {
        "name": "name",
        "configuration": "configuration",
        "commands": "commands",
        "input_artifacts": "inputArtifacts[]",
        "region": "region",
        "role_arn": "roleArn",
        "timeout_in_minutes": "timeoutInMinutes",
    },
    one={
        "rule_type_id": (
            "ruleTypeId",
            Shape({"category": "category", "owner": "owner", "provider": "provider", "version": "version"}),
        )
    },
)
_CONDITION = Shape({"result": "result"}, many={"rule": ("rules", _RULE)})
_CONDITIONS = Shape({}, many={"condition": ("conditions", _CONDITION)})
_ENVIRONMENT = Shape({"name": "name", "value": "value", "type": "type"})
_ACTION = Shape(
    {
        "name": "name",
        "category": "actionTypeId.category",
        "owner": "actionTypeId.owner",
        "provider": "actionTypeId.provider",
        "version": "actionTypeId.version",
        "configuration": "configuration",
        "commands": "commands",
        "input_artifacts": "inputArtifacts[]",
        "output_artifacts": "outputArtifacts[]",
        "output_variables": "outputVariables",
        "namespace": "namespace",
        "region": "region",
        "role_arn": "roleArn",
        "run_order": "runOrder",
        "timeout_in_minutes": "timeoutInMinutes",
    },
    many={"environment_variable": ("environmentVariables", _ENVIRONMENT)},
)
_STAGE = Shape(
    {"name": "name"},
    many={"action": ("actions", _ACTION)},
    one={
        "before_entry": ("beforeEntry", _CONDITIONS),
        "on_success": ("onSuccess", _CONDITIONS),
        "on_failure": (
            "onFailure",
            Shape(
                {"result": "result"},
                many={"condition": ("conditions", _CONDITION)},
                one={"retry_configuration": ("retryConfiguration", Shape({"retry_mode": "retryMode"}))},
            ),
        ),
    },
)
_BRANCHES = {"branches": ("branches", _FILTER), "file_paths": ("filePaths", _FILTER)}
_TRIGGER = Shape(
    {"provider_type": "providerType"},
    one={
        "git_configuration": (
            "gitConfiguration",
            Shape(
                {"source_action_name": "sourceActionName"},
                many={
                    "push": ("push", Shape({}, one={**_BRANCHES, "tags": ("tags", _FILTER)})),
                    "pull_request": ("pullRequest", Shape({"events": "events"}, one=_BRANCHES)),
                },
            ),
        )
    },
)
_STORE = Shape(
    {"location": "location", "type": "type", "region": "region"},
    one={"encryption_key": ("encryptionKey", Shape({"id": "id", "type": "type"}))},
)
PIPELINE = Shape(
    {
        "name": "name",
        "role_arn": "roleArn",
        "pipeline_type": "pipelineType",
        "execution_mode": "executionMode",
    },
    many={
        "stage": ("stages", _STAGE),
        "variable": (
            "variables",
            Shape({"name": "name", "default_value": "defaultValue", "description": "description"}),
        ),
        "trigger": ("triggers", _TRIGGER),
        "artifact_store": ("artifactStores", _STORE),
    },
    ignored=frozenset({"tags", "tags_all", "region", "timeouts"}),
)
_EMPTY_IS_ABSENT = frozenset({"region", "roleArn", "namespace", "runOrder", "timeoutInMinutes", "executionMode"})
_LEFT_TO_THE_CLOUD = frozenset({"artifact_store", "encryption_key"})
_SECRETS = frozenset({"OAuthToken", "SecretToken"})
HIDDEN = "****"
"""Source: CodePipeline API Reference, GetPipeline: what it answers in the place of a token."""
_META = frozenset({"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner", "connection"})


def pipeline_table(contents: Contents, notes: Notes) -> Table:
    """The body of an `aws_codepipeline` in the API's names; faults are in `notes`."""
    table = _table(contents, PIPELINE, notes, top=True)
    return finished(table, notes)


def finished(table: Table, notes: Notes) -> Table:
    """The pipeline's table with its stores as the API has them: one, or one for each region."""
    entries = dict(table.entries)
    stores = entries.pop("artifactStores", None)
    if isinstance(stores, Items):
        entries.update(_stores(stores, notes))
    return Table(entries, table.key_places, table.place)


def _stores(stores: Items, notes: Notes) -> dict[str, Node]:
    """One store for the pipeline, or one for each region."""
    found: dict[str, Node] = {}
    for store in stores.nodes:
        if not isinstance(store, Table):
            continue
        region = store.get("region")
        kept = {key: node for key, node in store.entries.items() if key != "region"}
        encryption = kept.get("encryptionKey")
        if isinstance(encryption, Table) and isinstance(encryption.get("id"), Unknown):
            del kept["encryptionKey"]  # a key that only a deployment makes
        location = kept.get("location")
        if isinstance(location, Unknown):
            if not notes.planning:
                continue  # a bucket that a deployment names; nothing here needs it
            notes.open.add(location.place)
            kept["location"] = Leaf(location.text or KNOWN_LATER, location.text or KNOWN_LATER, location.place)
        plain = Table(kept, store.key_places, store.place)
        if len(stores.nodes) == 1:
            return {"artifactStore": plain}
        if isinstance(region, Leaf) and region.text:
            found[region.text] = plain
    return {"artifactStores": Table(found, {}, stores.place)} if found else {}


def _table(contents: Contents, shape: Shape, notes: Notes, *, top: bool = False) -> Table:
    entries: dict[str, Node] = {}
    places: dict[str, Place] = {}
    place = contents.place()
    _check_names(contents, shape, notes, top)
    for name, written in shape.arguments.items():
        attribute = contents.body.attributes.get(name)
        if attribute is None:
            continue
        node = argument_node(contents, attribute.value, notes)
        if isinstance(node, Leaf) and node.value is None:
            continue
        if name == "configuration" and isinstance(node, Table):
            node = _without_secrets(node, notes)
        put(entries, places, written, node, attribute.span.place)
    for name, (written, inner) in shape.one.items():
        for found in _blocks(contents, name, notes):
            entries[written] = _table(found, inner, notes)
            places[written] = found.place()
    for name, (written, inner) in shape.many.items():
        nodes = tuple(_table(found, inner, notes) for found in _blocks(contents, name, notes))
        if nodes:
            entries[written] = Items(nodes, nodes[0].place)
            places[written] = nodes[0].place
    return Table(entries, places, place)


def _without_secrets(configuration: Table, notes: Notes) -> Table:
    """A token that only a secret store knows stands as the service shows it: nothing here signs in with it."""
    entries = dict(configuration.entries)
    for key, node in configuration.entries.items():
        if key in _SECRETS and isinstance(node, Unknown) and node.chain:
            why = "; ".join(node.chain)
            notes.warning(
                f"{key} stands as {HIDDEN}, since it is not known here: {why}", node.place, rule="unknown-value"
            )
            entries[key] = Leaf(HIDDEN, HIDDEN, node.place)
    return Table(entries, configuration.key_places, configuration.place)


def put(entries: dict[str, Node], places: dict[str, Place], written: str, node: Node, place: Place) -> None:
    """Adds a value under the API's name of its argument. Empty text is no value, where the provider takes it so."""
    if written in _EMPTY_IS_ABSENT and isinstance(node, Leaf) and (node.text == "" or node.value == 0):
        return
    if written.endswith("[]"):
        written = written.removesuffix("[]")
        if isinstance(node, Items):
            wrapped = tuple(
                item if isinstance(item, Table) else Table({"name": item}, {}, item.place) for item in node.nodes
            )
            node = Items(wrapped, node.place)
    outer, _, inner = written.partition(".")
    if inner:
        before = entries.get(outer)
        known = dict(before.entries) if isinstance(before, Table) else {}
        known[inner] = node
        node = Table(known, {name: found.place for name, found in known.items()}, place)
    entries[outer] = node
    places.setdefault(outer, place)


def _blocks(contents: Contents, name: str, notes: Notes) -> list[Contents]:
    try:
        return list(contents.blocks(name))
    except UnknownNumber as error:
        if name not in _LEFT_TO_THE_CLOUD:
            notes.error(error.message, error.place or contents.place(), rule="unknown-value", hint=error.hint)
        return []
    except InputError as error:
        notes.error(error.message, error.place or contents.place(), rule="wrong-expression", hint=error.hint)
        return []


def _check_names(contents: Contents, shape: Shape, notes: Notes, top: bool) -> None:
    blocks = [*shape.many, *shape.one]
    ignored = shape.ignored | (_META if top else frozenset())
    for name, attribute in contents.body.attributes.items():
        if contents.body.json and name in blocks:
            continue
        if name not in shape.arguments and name not in ignored:
            hint = suggestion(name, [*shape.arguments, *blocks])
            if name in blocks:
                hint = f"{name} is a block: write {name} {{ ... }}"
            notes.error(f"there is no argument {name} here", attribute.span.place, rule="unknown-key", hint=hint)
    for block in contents.body.blocks:
        name = block.labels[0] if block.type == "dynamic" and block.labels else block.type
        if contents.body.json and name in contents.body.attributes:
            continue
        if name not in blocks and name not in ignored:
            hint = suggestion(name, [*blocks, *shape.arguments])
            if name in shape.arguments:
                hint = f"{name} is an argument: write {name} = ..."
            notes.error(f"there are no blocks of type {name} here", block.span.place, rule="unknown-key", hint=hint)


def argument_node(contents: Contents, expression: Expression, notes: Notes) -> Node:
    """An argument's value with the place of each part that is written out."""
    place = expression.span.place
    try:
        return value_node(contents.evaluate(expression), place, expression)
    except InputError as error:
        notes.error(error.message, error.place or place, rule="wrong-expression", hint=error.hint)
        return Unknown((), place)


def value_node(value: Value, place: Place, expression: Expression | None = None) -> Node:
    """A value as a node; `expression` is what it was written as, if that is known."""
    while isinstance(expression, Parentheses):
        expression = expression.inner
    if value.is_unknown:
        return Unknown(value.chain, place, way_out(value.chain), value.raw.text or _as_reference(expression))
    if value.is_null:
        return Leaf(None, "", place)
    if is_sequence(value.type):
        written = expression.items if isinstance(expression, TupleOf) else ()
        same = len(written) == len(value.items)
        return Items(
            tuple(
                value_node(item, written[index].span.place if same else place, written[index] if same else None)
                for index, item in enumerate(value.items)
            ),
            place,
        )
    if is_mapping(value.type):
        parts = _written_entries(expression)
        entries: dict[str, Node] = {}
        key_places: dict[str, Place] = {}
        for name, item in value.entries.items():
            inner = parts.get(name)
            entries[name] = value_node(item, inner[1].span.place if inner else place, inner[1] if inner else None)
            key_places[name] = inner[0].span.place if inner else place
        return Table(entries, key_places, place)
    if value.type == NUMBER:
        text = number_text(value.raw)
        return Leaf(value.raw if isinstance(value.raw, int) else float(value.raw), text, place)
    if isinstance(value.raw, bool):
        return Leaf(value.raw, "true" if value.raw else "false", place)
    return Leaf(str(value.raw), str(value.raw), place)


def _as_reference(expression: Expression | None) -> str:
    text = expression.span.text if expression is not None else ""
    return f"${{{text}}}" if text and "\n" not in text else ""


def _written_entries(expression: Expression | None) -> dict[str, tuple[Expression, Expression]]:
    if not isinstance(expression, ObjectOf):
        return {}
    return {str(key.value): (key, value) for key, value in expression.items if isinstance(key, Literal)}
