"""Carries one action over in the text that declares it, and takes away what nothing needs any more.

Source: CodePipeline User Guide, "ECRBuildAndPublish build action reference".
"""

import re
from collections.abc import Callable

from msgspec import Struct

from pipeyard.definition.documents import Items, Leaf, Node, Table, parse_yaml
from pipeyard.definition.migrate import hcl_text, yaml_text
from pipeyard.definition.migrate.edits import Edit, applied, line_end, line_start, offset_of
from pipeyard.definition.migrate.script import Pushed
from pipeyard.definition.model import CodeBuildProject
from pipeyard.errors import InputError

_PERMISSIONS = (
    "the pipeline's role needs ecr:GetAuthorizationToken, and on the repository ecr:BatchCheckLayerAvailability, "
    "InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, PutImage, BatchGetImage, DescribeRepositories"
)
_GOES_WITH_PROJECT = frozenset(
    {
        "AWS::CodeBuild::Project",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Logs::LogGroup",
        "aws_cloudwatch_log_group",
        "aws_codebuild_project",
        "aws_iam_policy",
        "aws_iam_policy_document",
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
    }
)
"""Kinds of resources that may be there for the project alone."""


class ActionText(Struct, frozen=True, kw_only=True):
    """What is to be carried over. `source`: the source action that needs `namespace`; empty when it has one."""

    file: str
    stage: str
    name: str
    project: CodeBuildProject
    pushed: Pushed
    source: str = ""
    namespace: str = ""
    has_outputs: bool = False


class CarriedOver(Struct, frozen=True):
    text: str
    notes: tuple[str, ...]


def carry_over(text: str, wanted: ActionText) -> CarriedOver:
    """Raises InputError when the text is written in a way that cannot be edited."""
    if wanted.file.endswith(".tf"):
        return _in_terraform(text, wanted)
    if wanted.file.endswith(".json") or text.lstrip().startswith("{"):
        raise InputError("a definition in JSON is not edited: change it where it is made")
    return _in_cloudformation(text, wanted)


def _settings(
    wanted: ActionText, written: dict[str, str], scalar: Callable[[str], str], is_reference: Callable[[str], bool]
) -> dict[str, str]:
    """Keys and values of the new configuration. A value that the user writes as a reference stays that reference."""

    def value(text: str) -> str:
        for each in wanted.project.environment_variables:
            raw = written.get(each.name, "")
            if each.value == text and is_reference(raw):
                return raw
        return scalar(text)

    pushed = wanted.pushed
    tags = pushed.tags
    found = {"ECRRepositoryName": value(pushed.repository)}
    if pushed.dockerfile != ".":
        found["DockerFilePath"] = scalar(pushed.dockerfile)
    if tags != ("latest",):
        found["ImageTags"] = value(tags[0]) if len(tags) == 1 else scalar(",".join(tags))
    return found


# ---------------------------------------------------------------- CloudFormation


def _in_cloudformation(text: str, wanted: ActionText) -> CarriedOver:
    root = _parsed(text, wanted.file)
    action = _action(root, wanted.stage, wanted.name)
    if action is None:
        raise InputError("the action is not written as a block of its own in this file")
    if text[offset_of(text, action.place)] == "{":
        raise InputError("the action is written in one line; write it as a block first")
    logical_id = _project_id(text, root, action, wanted.project.name)
    written = _written_variables(text, root, logical_id)
    settings = _settings(wanted, written, yaml_text.scalar, lambda raw: raw.startswith("!"))
    edits = yaml_text.action_edits(text, action, settings)
    if wanted.has_outputs and "OutputArtifacts" in action.entries:
        edits.append(Edit(*yaml_text.entry_span(text, action.key_place("OutputArtifacts"))))
    if wanted.source:
        edits.append(_namespace_in_yaml(text, root, wanted))
    last = _codebuild_actions(root) == 1
    if last:
        edits += [Edit(*span) for span in yaml_text.statements_for(text, root)]
    return _without_orphans_in_yaml(applied(text, edits), wanted, logical_id)


def _parsed(text: str, file: str) -> Table:
    root = parse_yaml(text, file, yaml_text.tolerant)
    if not isinstance(root, Table):
        raise InputError("the template is no mapping")
    return root


def _tables(node: Node | None) -> list[Table]:
    """A node's tables, its own first, in the order of the text."""
    if isinstance(node, Table):
        return [node, *(inner for child in node.entries.values() for inner in _tables(child))]
    if isinstance(node, Items):
        return [inner for child in node.nodes for inner in _tables(child)]
    return []


def _text(table: Table, key: str) -> str:
    found = table.get(key)
    return found.text if isinstance(found, Leaf) else ""


def _action(root: Table, stage: str, name: str) -> Table | None:
    for table in _tables(root):
        if _text(table, "Name") == stage and isinstance(table.get("Actions"), Items):
            for inner in _tables(table.get("Actions")):
                if _text(inner, "Name") == name and isinstance(inner.get("ActionTypeId"), Table):
                    return inner
    return None


def _codebuild_actions(root: Table) -> int:
    return sum(
        1
        for table in _tables(root)
        if isinstance(kind := table.get("ActionTypeId"), Table) and _text(kind, "Provider") == "CodeBuild"
    )


def _resources(root: Table) -> Table:
    found = root.get("Resources")
    if not isinstance(found, Table):
        raise InputError("the template has no Resources")
    return found


def _project_id(text: str, root: Table, action: Table, name: str) -> str:
    """The logical id of the project that an action names."""
    configuration = action.get("Configuration")
    told = _text(configuration, "ProjectName") if isinstance(configuration, Table) else ""
    resources = _resources(root)
    projects = {
        key: body
        for key, body in resources.entries.items()
        if isinstance(body, Table) and _text(body, "Type") == "AWS::CodeBuild::Project"
    }
    bare = re.sub(r"^\$\{(\w+)\}$", r"\1", told)
    if bare in projects:
        return bare
    for key, body in projects.items():
        properties = body.get("Properties")
        if isinstance(properties, Table) and _text(properties, "Name") in (told, name):
            return key
    return next(iter(projects)) if len(projects) == 1 else ""


def _written_variables(text: str, root: Table, logical_id: str) -> dict[str, str]:
    """The values of a project's variables as they are written."""
    body = _resources(root).get(logical_id) if logical_id else None
    found = {}
    for table in _tables(body):
        value = table.get("Value")
        if _text(table, "Name") and isinstance(value, Leaf) and "Type" not in table.entries:
            found[_text(table, "Name")] = yaml_text.source_of(text, value)
    return found


def _namespace_in_yaml(text: str, root: Table, wanted: ActionText) -> Edit:
    for table in _tables(root):
        if _text(table, "Name") == wanted.source and isinstance(table.get("ActionTypeId"), Table):
            place = table.key_place("ActionTypeId")
            if text[offset_of(text, table.place)] == "{":
                raise InputError(f"the action {wanted.source} needs a Namespace, and is written in one line")
            at = offset_of(text, place)
            return Edit(at, at, f"Namespace: {wanted.namespace}\n{' ' * (place.column - 1)}")
    raise InputError(f"the action {wanted.source} is in another file, and needs a Namespace")


def _without_orphans_in_yaml(text: str, wanted: ActionText, logical_id: str) -> CarriedOver:
    notes = [_PERMISSIONS]
    gone: dict[str, str] = {}
    candidates = [logical_id] if logical_id else []
    while candidates:
        name = candidates.pop(0)
        root = _parsed(text, wanted.file)
        resources = _resources(root)
        body = resources.get(name)
        if not isinstance(body, Table) or _text(body, "Type") not in _GOES_WITH_PROJECT:
            continue
        start, end = yaml_text.entry_span(text, resources.key_place(name))
        rest = text[:start] + text[end:]
        if yaml_text.mentions(rest, name):
            if name == logical_id:
                # What names the project and serves it alone goes first: its log group, its policies.
                followers = [
                    key
                    for key, other in resources.entries.items()
                    if key != name and key not in gone and _serves(text, resources, key, other, name)
                ]
                if followers and not any(key in gone for key in followers):
                    gone |= dict.fromkeys(followers, "tried")
                    candidates = [*followers, name, *candidates]
                else:
                    notes.append(f"{name} stays: something else in the file still refers to it")
            continue
        removed = text[start:end]
        text = rest
        gone[name] = removed
        left = [key for key in resources.entries if key != name and key not in candidates]
        candidates += [
            key
            for key in left
            if yaml_text.mentions(removed, key) or yaml_text.mentions(_resource_text(text, wanted.file, key), name)
        ]
    return CarriedOver(text, tuple(notes))


def _serves(text: str, resources: Table, key: str, body: Node, name: str) -> bool:
    if not isinstance(body, Table) or _text(body, "Type") not in ("AWS::Logs::LogGroup", "AWS::IAM::Policy"):
        return False
    start, end = yaml_text.entry_span(text, resources.key_place(key))
    return yaml_text.mentions(text[start:end], name)


def _resource_text(text: str, file: str, key: str) -> str:
    resources = _resources(_parsed(text, file))
    if key not in resources.entries:
        return ""
    start, end = yaml_text.entry_span(text, resources.key_place(key))
    return text[start:end]


# ---------------------------------------------------------------- Terraform


def _in_terraform(text: str, wanted: ActionText) -> CarriedOver:
    action = _action_block(text, wanted.stage, wanted.name)
    configuration = hcl_text.attribute(text, action, "configuration")
    told = text[configuration[0] : configuration[1]] if configuration else ""
    found = re.search(r"aws_codebuild_project\.(\w+)\.", told)
    label = found[1] if found else _labelled(text, wanted.project.name)
    written = {}
    for block in hcl_text.blocks(text, rf'resource\s+"aws_codebuild_project"\s+"{label}"') if label else []:
        for inner in hcl_text.blocks(text, "environment_variable", block.body[0], block.body[1]):
            name, value = hcl_text.attribute(text, inner, "name"), hcl_text.attribute(text, inner, "value")
            if name and value:
                written[text[name[0] : name[1]].strip('"')] = text[value[0] : value[1]]
    settings = _settings(wanted, written, hcl_text.scalar, lambda raw: bool(raw) and (raw[0] != '"' or "${" in raw))
    edits = hcl_text.action_edits(text, action, settings)
    if wanted.has_outputs and (span := hcl_text.attribute(text, action, "output_artifacts")):
        edits.append(Edit(line_start(text, span[0]), line_end(text, span[1])))
    if wanted.source:
        edits.append(_namespace_in_hcl(text, wanted))
    if len(re.findall(r'provider\s*=\s*"CodeBuild"', text)) == 1:
        edits += _statements(text)
    return _without_orphans_in_hcl(applied(text, edits), label)


def _action_block(text: str, stage: str, name: str) -> hcl_text.Span:
    for outer in hcl_text.blocks(text, "stage"):
        told = hcl_text.attribute(text, outer, "name")
        if told is None or text[told[0] : told[1]] != f'"{stage}"':
            continue
        for inner in hcl_text.blocks(text, "action", outer.body[0], outer.body[1]):
            named = hcl_text.attribute(text, inner, "name")
            if named is not None and text[named[0] : named[1]] == f'"{name}"':
                return inner
    raise InputError("the action is not written as a block of its own in this file")


def _labelled(text: str, name: str) -> str:
    for block in hcl_text.blocks(text, r'resource\s+"aws_codebuild_project"\s+"\w+"'):
        told = hcl_text.attribute(text, block, "name")
        if told is not None and text[told[0] : told[1]] == f'"{name}"':
            return text[block.start : block.body[0]].split('"')[3]
    return ""


def _namespace_in_hcl(text: str, wanted: ActionText) -> Edit:
    for block in hcl_text.blocks(text, "action"):
        named = hcl_text.attribute(text, block, "name")
        if named is not None and text[named[0] : named[1]] == f'"{wanted.source}"':
            start = line_start(text, named[0])
            indent = text[start : start + len(text[start:]) - len(text[start:].lstrip())]
            at = line_end(text, named[1])
            return Edit(at, at, f'{indent}namespace = "{wanted.namespace}"\n')
    raise InputError(f"the action {wanted.source} is in another file, and needs a namespace")


def _statements(text: str) -> list[Edit]:
    """`statement` blocks all of whose actions are CodeBuild's."""
    edits = []
    for block in hcl_text.blocks(text, "statement"):
        span = hcl_text.attribute(text, block, "actions")
        told = re.findall(r'"([^"]*)"', text[span[0] : span[1]]) if span else []
        if told and all(each.startswith("codebuild:") for each in told):
            edits.append(hcl_text.removal(text, block))
    return edits


def _without_orphans_in_hcl(text: str, label: str) -> CarriedOver:
    notes = [_PERMISSIONS]
    candidates = [("aws_codebuild_project", label)] if label else []
    tried: set[tuple[str, str]] = set()
    while candidates:
        kind, name = candidates.pop(0)
        prefix = "data." if kind == "aws_iam_policy_document" else ""
        keyword = "data" if prefix else "resource"
        found = hcl_text.blocks(text, rf'{keyword}\s+"{kind}"\s+"{name}"')
        if not found or kind not in _GOES_WITH_PROJECT:
            continue
        edit = hcl_text.removal(text, found[0])
        rest = text[: edit.start] + text[edit.end :]
        users = [
            (match[1], match[2])
            for match in re.finditer(r'resource\s+"(\w+)"\s+"(\w+)"', rest)
            for block in hcl_text.blocks(rest, re.escape(match[0]))
            if _refers(rest[block.start : block.end], kind, name)
        ]
        if _refers(rest, kind, name):
            serving = [each for each in users if each[0] in ("aws_cloudwatch_log_group", "aws_iam_role_policy",
                                                             "aws_iam_role_policy_attachment")]  # fmt: skip
            if serving and (kind, name) not in tried:
                tried.add((kind, name))
                candidates = [*serving, (kind, name), *candidates]
            elif kind == "aws_codebuild_project":
                notes.append(f"{kind}.{name} stays: something else in the file still refers to it")
            continue
        removed = text[edit.start : edit.end]
        text = rest
        candidates += [
            (match[1], match[2]) for match in re.finditer(r"(?<![\w\"])(aws_\w+|data\.aws_\w+)\.(\w+)\.", removed)
        ] + [(match[1], match[2]) for match in re.finditer(r"data\.(aws_\w+)\.(\w+)\.", removed)]
    return CarriedOver(text, tuple(notes))


def _refers(text: str, kind: str, name: str) -> bool:
    return re.search(rf"(?<![\w]){kind}\.{name}(?!\w)", text) is not None
