"""From a tree with places to the model: the one road that CloudFormation and the API's JSON share.

The struct's own annotations say what a key may hold, so a member added to the model is read from every format.
"""

import difflib
import types
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from pipeyard.definition.documents import KNOWN_LATER, Items, Leaf, Node, Table, Unknown, first_unknown, plain, shown
from pipeyard.definition.model import ActionTypeId, PipelineDeclaration
from pipeyard.definition.places import Keys
from pipeyard.errors import Place, Problem, counted

StructT = TypeVar("StructT", bound=msgspec.Struct)

_V2_ONLY = frozenset(
    {
        ("Build", "ECRBuildAndPublish"),
        ("Compute", "Commands"),
        ("Deploy", "EC2"),
        ("Deploy", "EKS"),
        ("Deploy", "Lambda"),
        ("Invoke", "CodePipeline"),
    }
)
"""Source: CodePipeline User Guide, the notes of these providers' action references."""

_CLOUD_ONLY = frozenset({"roleArn", "encryptionKey"})
"""What nothing here needs: when it is not known, it is left out without noise. So is a store in an unknown bucket."""

_CLOUD_ONLY_SETTINGS = frozenset({"OAuthToken", "ConnectionArn", "NotificationArn"})
"""Configuration that only the service signs in, or sends word, with: where it is not known, its text stands for it."""


class Notes:
    """What a reader finds on its way: a place for every value that it put into the model, and problems.

    When `planning`, what is not known becomes text that stands in for it, at a place in `open`, and a warning.
    """

    def __init__(self, *, planning: bool = False) -> None:
        self.planning = planning
        self.places: dict[Keys, Place] = {}
        self.problems: list[Problem] = []
        self.open: set[Place] = set()
        self._causes: dict[tuple[str, ...], tuple[int, Problem, set[Place]]] = {}

    def error(self, message: str, place: Place, *, rule: str, hint: str = "") -> None:
        self._add(Problem("error", message, place, hint, rule))

    def warning(self, message: str, place: Place, *, rule: str, hint: str = "") -> None:
        self._add(Problem("warning", message, place, hint, rule))

    def unknown(self, what: str, node: Unknown, *, alone: bool) -> None:
        """Notes that something cannot be known here: a warning when planning, else an error.

        Values that are unknown for the same reason are one problem, which counts them, unless this one stands `alone`.
        """
        severity: Literal["error", "warning"] = "warning" if self.planning else "error"
        why = "; ".join(node.chain)
        found = Problem(
            severity, f"{what} is not known before a deployment: {why}", node.place, node.hint, "unknown-value"
        )
        if alone:
            self._add(found)
            return
        number, first, places = self._causes.setdefault(node.chain[-2:], (len(self.problems), found, set()))
        if not places:
            self.problems.append(found)
        elif node.place not in places:
            more = f"{first.message} (and {counted(len(places), 'other value')})"
            self.problems[number] = msgspec.structs.replace(first, message=more)
        places.add(node.place)

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:  # one cause that is read twice is one problem
            self.problems.append(problem)

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word, or empty."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    if word.lower() in lowered:
        return f"names are case-sensitive: {lowered[word.lower()]}"
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def as_written(key: str) -> str:
    """The API's JSON: keys are the model's own."""
    return key


def as_property(key: str) -> str:
    """CloudFormation: the API's key with a capital."""
    return key[:1].upper() + key[1:]


def note_repeated_keys(document: Node, notes: Notes) -> None:
    for key, place in document.repeated if isinstance(document, Table) else ():
        notes.warning(f"key {key!r} is here a second time, and only this value counts", place, rule="repeated-key")


def declare_pipeline(
    node: Table, keys: Keys, notes: Notes, *, spell: Callable[[str], str] = as_written, name: str = ""
) -> PipelineDeclaration | None:
    """A pipeline from its table; `name` is what it is called when it has none (with a warning).

    Every fault becomes an error in `notes`, and then the result may be None. `spell` gives the format's word for a
    key of the API.
    """
    entries = dict(node.entries)
    if _absent(entries.get(spell("name"))) and name:
        notes.warning(
            f"the pipeline has no {spell('name')}; it is called {name!r} here", node.place, rule="pipeline-without-name"
        )
        entries[spell("name")] = Leaf(name, name, node.place)
    if _absent(entries.get(spell("pipelineType"))):
        entries.pop(spell("pipelineType"), None)
    found = _Builder(notes, spell).struct(PipelineDeclaration, Table(entries, node.key_places, node.place), keys)
    if found is not None and spell("pipelineType") not in entries:
        found = _with_type(found, node, notes, spell)
    return found


def _with_type(
    pipeline: PipelineDeclaration, node: Table, notes: Notes, spell: Callable[[str], str]
) -> PipelineDeclaration:
    """The service takes a missing type as V1 and then refuses what only V2 has; a snippet that shows V2 means V2."""
    feature = v2_feature(pipeline)
    if not feature:
        return msgspec.structs.replace(pipeline, pipeline_type="V1")
    notes.warning(
        f"the pipeline has no {spell('pipelineType')} and uses {feature}, which only V2 has; it is read as V2",
        node.place,
        rule="pipeline-without-type",
        hint=f"the service takes a missing type as V1: write {spell('pipelineType')}: V2",
    )
    return pipeline


def v2_feature(pipeline: PipelineDeclaration) -> str:
    """The first thing in a pipeline that only type V2 has, in words; empty when there is none."""
    if pipeline.variables:
        return "pipeline variables"
    if pipeline.triggers:
        return "triggers"
    if pipeline.execution_mode != "SUPERSEDED":
        return f"execution mode {pipeline.execution_mode}"
    for stage in pipeline.stages:
        if stage.before_entry or stage.on_success or stage.on_failure:
            return f"the conditions of stage {stage.name}"
        for action in stage.actions:
            if is_v2_only(action.action_type_id):
                return f"the provider {action.action_type_id.provider}"
    return ""


def is_v2_only(type_id: ActionTypeId) -> bool:
    """Whether only pipelines of type V2 have such actions."""
    return (type_id.category, type_id.provider) in _V2_ONLY


def declare(
    kind: type[StructT], node: Node, keys: Keys, notes: Notes, *, spell: Callable[[str], str] = as_written
) -> StructT | None:
    """A struct of the model from a table with its keys; None with errors in `notes` when that cannot be."""
    return _Builder(notes, spell).struct(kind, node, keys)


class _Wrong(Exception):
    """A fault that is already noted."""


class _Open(Exception):
    """Something that is not known and that no text can stand in for; it is left out of a plan."""


@cache
def _members(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any, bool]]:
    """Of each member by its wire name: attribute, annotation, and whether it must be there."""
    hints = get_type_hints(kind)
    return {
        field.encode_name: (field.name, hints[field.name], field.required) for field in msgspec.structs.fields(kind)
    }


class _Builder:
    def __init__(self, notes: Notes, spell: Callable[[str], str]) -> None:
        self.notes = notes
        self.spell = spell

    def struct(self, kind: type[StructT], node: Node, keys: Keys) -> StructT | None:
        try:
            return cast(StructT, self.build(kind, node, keys, "the document"))
        except (_Wrong, _Open):
            return None

    def build(self, kind: Any, node: Node, keys: Keys, what: str) -> Any:
        self.notes.places[keys] = node.place
        if isinstance(node, Unknown):
            return self.left_open(kind, node, what)
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self.build(next(part for part in get_args(kind) if part is not type(None)), node, keys, what)
        if origin is list:
            return self.items(get_args(kind)[0], node, keys, what)
        if origin is dict:
            return self.mapping(get_args(kind)[1], node, keys, what)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.members(kind, node, keys, what)
        return self.scalar(kind, node, what)

    def left_open(self, kind: Any, node: Unknown, what: str) -> str | list[str]:
        if not node.chain:  # it was reported where it arose
            raise _Wrong
        is_text = kind in (str, str | None, list[str])
        self.notes.unknown(what, node, alone=self.notes.planning and not is_text)
        if not self.notes.planning:
            raise _Wrong
        self.notes.open.add(node.place)
        if kind in (str, str | None):
            return node.text or KNOWN_LATER
        if kind == list[str]:
            return [node.text or KNOWN_LATER]
        raise _Open

    def members(self, kind: type[msgspec.Struct], node: Node, keys: Keys, what: str) -> msgspec.Struct:
        if not isinstance(node, Table):
            raise self.wrong(what, "a mapping", node)
        known = _members(kind)
        spelled = {self.spell(wire): wire for wire in known}
        values: dict[str, Any] = {}
        failed = False
        for key, child in node.entries.items():
            wire = spelled.get(key)
            if wire is None:
                self.notes.error(
                    f"{what} has no key {key!r}",
                    node.key_place(key),
                    rule="unknown-key",
                    hint=suggestion(key, spelled) or f"it has {', '.join(spelled)}",
                )
                failed = True
                continue
            if _absent(child):
                continue
            attribute, annotation, _ = known[wire]
            if _is_left_to_the_cloud(wire, child, self.spell):
                self.notes.places[(*keys, wire)] = child.place  # written, although nothing here needs it
                if self.notes.planning and annotation == str | None and isinstance(child, Unknown):
                    values[attribute] = child.text or None
                continue
            try:
                values[attribute] = self.build(annotation, child, (*keys, wire), _called(key, node, self.spell))
            except _Wrong:
                failed = True
            except _Open:
                if known[wire][2]:
                    message = f"{what} cannot be planned while its {self.spell(wire)} is not known"
                    self.notes.error(message, child.place, rule="unknown-value")
                    failed = True
        for wire, (attribute, _, required) in known.items():
            if required and attribute not in values and not (failed and self.spell(wire) in node.entries):
                self.notes.error(f"{what} has no {self.spell(wire)}", node.place, rule="missing-key")
                failed = True
        if failed:
            raise _Wrong
        return kind(**values)

    def items(self, kind: Any, node: Node, keys: Keys, what: str) -> list[Any]:
        if not isinstance(node, Items):
            raise self.wrong(what, "a list", node)
        out: list[Any] = []
        failed = False
        for child in node.nodes:
            try:
                out.append(self.build(kind, child, (*keys, len(out)), _one_of(what, child, self.spell)))
            except _Open:
                continue
            except _Wrong:
                failed = True
                out.append(None)
        if failed:
            raise _Wrong
        return out

    def mapping(self, kind: Any, node: Node, keys: Keys, what: str) -> dict[str, Any]:
        if not isinstance(node, Table):
            raise self.wrong(what, "a mapping", node)
        out: dict[str, Any] = {}
        failed = False
        for key, child in node.entries.items():
            if isinstance(child, Leaf) and child.value is None:
                continue
            if key in _CLOUD_ONLY_SETTINGS and isinstance(child, Unknown) and child.text:
                self.notes.open.add(child.place)
                out[key] = child.text
                continue
            try:
                # A CodeBuild action's EnvironmentVariables is JSON in a string; a template may give it as a list.
                text = child if kind is not str or isinstance(child, Leaf | Unknown) else self.compact(child)
                out[key] = self.build(kind, text, (*keys, key), f"{what} {key}")
            except _Open:
                continue
            except _Wrong:
                failed = True
        if failed:
            raise _Wrong
        return out

    def compact(self, node: Node) -> Node:
        unknown = first_unknown(node)
        if unknown is not None:
            text = msgspec.json.encode(plain(shown(node))).decode()
            return Unknown(unknown.chain, node.place, unknown.hint, text)
        text = msgspec.json.encode(plain(node)).decode()
        return Leaf(text, text, node.place)

    def scalar(self, kind: Any, node: Node, what: str) -> Any:
        if not isinstance(node, Leaf):
            raise self.wrong(what, "text" if kind is str else "a number" if kind is int else "true or false", node)
        if kind is bool:
            if node.text.lower() in ("true", "false"):
                return node.text.lower() == "true"
            raise self.wrong(what, "true or false", node)
        if kind is int:
            try:
                return int(node.text)
            except ValueError:
                raise self.wrong(what, "a whole number", node) from None
        return node.text

    def wrong(self, what: str, expected: str, node: Node) -> _Wrong:
        given = {Items: "a list", Table: "a mapping"}.get(type(node))
        if given is None:
            given = repr(node.text) if isinstance(node, Leaf) else "something else"
        self.notes.error(f"{what} must be {expected}, not {given}", node.place, rule="wrong-type")
        return _Wrong()


def _is_left_to_the_cloud(wire: str, node: Node, spell: Callable[[str], str]) -> bool:
    if wire in _CLOUD_ONLY:
        return first_unknown(node) is not None
    if wire in ("artifactStore", "artifactStores"):
        location = node.get(spell("location")) if isinstance(node, Table) else None
        return isinstance(node, Unknown) or isinstance(location, Unknown)
    return False


def _absent(node: Node | None) -> bool:
    return node is None or (isinstance(node, Leaf) and node.value is None)


def _called(key: str, owner: Table, spell: Callable[[str], str]) -> str:
    name = owner.get(spell("name"))
    return f"{key} of {name.text}" if isinstance(name, Leaf) and name.text else key


def _one_of(what: str, node: Node, spell: Callable[[str], str]) -> str:
    name = node.get(spell("name")) if isinstance(node, Table) else None
    one = {"stages": "a stage", "actions": "an action", "rules": "a rule"}.get(what.split(" ")[0].lower(), "")
    if isinstance(name, Leaf) and name.text:
        return f"{one.split(' ')[1]} {name.text}" if one else f"{name.text} in {what}"
    return one or f"an entry of {what}"
