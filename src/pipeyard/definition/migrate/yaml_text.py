"""CloudFormation in YAML: the pieces of text that belong to an action, a resource, an entry of a mapping."""

import re

from pipeyard.definition.documents import Items, Leaf, Node, Table
from pipeyard.definition.migrate.edits import Edit, line_end, line_start, offset_of
from pipeyard.errors import Place


def tolerant(tag: str, node: Node) -> Node:
    """A Tag that keeps what stands behind it: here only places count."""
    del tag
    return node


def source_of(text: str, node: Node) -> str:
    """The text of a value of one line as it is written, tag and quotes among it; empty for one of several lines."""
    at = offset_of(text, node.place)
    line = text[at : line_end(text, at)].rstrip("\n")
    if isinstance(node, Leaf):
        within_flow = _flow_value(line)
        return within_flow.strip()
    return ""


def _flow_value(line: str) -> str:
    """Up to the end of a scalar: a quoted one at its quote, a plain one before a comment or, in a flow, `,` or `}`."""
    found = re.match(r"(![\w:]+\s+)?('(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|(?:\$\{[^}]*\}|[^,}\]#]|(?<!\s)#)+)", line)
    return found[0] if found else ""


def entry_span(text: str, key_place: Place) -> tuple[int, int]:
    """The lines of a block mapping's entry: from its key to before the next one that is as far to the left.

    Comments directly above the key belong to it.
    """
    start = line_start(text, offset_of(text, key_place))
    indent = key_place.column - 1
    end = line_end(text, start)
    kept = end
    while end < len(text):
        following = line_end(text, end)
        line = text[end:following]
        stripped = line.strip()
        if stripped and len(line) - len(line.lstrip()) <= indent and not stripped.startswith("#"):
            break
        if (stripped and not stripped.startswith("#")) or (stripped and len(line) - len(line.lstrip()) > indent):
            kept = following
        end = following
    while start > 0:
        above = line_start(text, start - 1)
        line = text[above:start]
        if not line.strip().startswith("#") or len(line) - len(line.lstrip()) != indent:
            break
        start = above
    if not text[kept:].strip("\n") or text[kept : kept + 1] == "\n":
        kept = len(text) if not text[kept:].strip() else kept + 1
    return start, kept


def action_edits(text: str, action: Table, settings: dict[str, str]) -> list[Edit]:
    """Makes an action's table an ECRBuildAndPublish action. `settings` are keys with their written values."""
    type_id = action.get("ActionTypeId")
    provider = type_id.get("Provider") if isinstance(type_id, Table) else None
    edits = []
    if isinstance(provider, Leaf):
        at = offset_of(text, provider.place)
        written = source_of(text, provider)
        edits.append(Edit(at, at + len(written), "ECRBuildAndPublish"))
    category = type_id.get("Category") if isinstance(type_id, Table) else None
    if isinstance(category, Leaf) and category.text != "Build":
        at = offset_of(text, category.place)
        edits.append(Edit(at, at + len(source_of(text, category)), "Build"))
    configuration = action.get("Configuration")
    if isinstance(configuration, Table):
        edits.append(_configuration(text, action, configuration, settings))
    return edits


def _configuration(text: str, action: Table, configuration: Table, settings: dict[str, str]) -> Edit:
    start = offset_of(text, configuration.place)
    if text[start] == "{":
        flow = ", ".join(f"{key}: {value}" for key, value in settings.items())
        return Edit(start, _closing(text, start), f"{{{flow}}}")
    indent = " " * (configuration.place.column - 1)
    begin = line_start(text, start)
    _, end = entry_span(text, action.key_place("Configuration"))
    while text[end - 2 : end] == "\n\n":
        end -= 1
    return Edit(begin, end, "".join(f"{indent}{key}: {value}\n" for key, value in settings.items()))


def _closing(text: str, start: int) -> int:
    """Behind the brace that closes the one at `start`."""
    depth, at = 0, start
    while at < len(text):
        if text[at] in "\"'":
            at = text.index(text[at], at + 1)
        elif text[at] in "{[":
            depth += 1
        elif text[at] in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(text)


def scalar(value: str) -> str:
    """A value as YAML text: quoted only where it has to be."""
    if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in (
        "true",
        "false",
        "yes",
        "no",
        "null",
        "on",
        "off",
    ):
        return value
    return "'" + value.replace("'", "''") + "'"


def mentions(text: str, name: str) -> bool:
    """Whether a text refers to a logical id: `!Ref X`, `!GetAtt X.Arn`, `${X}`, `DependsOn: X`, a list's `- X`."""
    named = re.escape(name)
    return (
        re.search(
            rf"(!Ref\s+|Ref:\s*|!GetAtt\s+|GetAtt:\s*\[?\s*|\$\{{|DependsOn:\s*\[?\s*|-\s+|,\s*)['\"]?{named}(?![\w-])",
            text,
        )
        is not None
    )


def statements_for(text: str, node: Node | None) -> list[tuple[int, int]]:
    """Spans of policy statements all of whose actions are CodeBuild's, in block lists with others beside them."""
    spans: list[tuple[int, int]] = []
    if isinstance(node, Table):
        found = node.get("Statement")
        if isinstance(found, Items) and len(found.nodes) > 1:
            spans += [
                _item_span(text, item.place)
                for item in found.nodes
                if isinstance(item, Table) and _only_codebuild(item) and text[offset_of(text, item.place)] != "{"
            ]
        for child in node.entries.values():
            spans += statements_for(text, child)
    elif isinstance(node, Items):
        for child in node.nodes:
            spans += statements_for(text, child)
    return spans


def _only_codebuild(statement: Table) -> bool:
    actions = statement.get("Action")
    told = [item.text for item in actions.nodes if isinstance(item, Leaf)] if isinstance(actions, Items) else []
    if isinstance(actions, Leaf):
        told = [actions.text]
    return bool(told) and all(text.startswith("codebuild:") for text in told)


def _item_span(text: str, place: Place) -> tuple[int, int]:
    """The lines of an entry of a block list, whose first key is at `place`."""
    start = line_start(text, offset_of(text, place))
    dash = len(text[start : line_end(text, start)]) - len(text[start : line_end(text, start)].lstrip())
    end = line_end(text, start)
    while end < len(text):
        line = text[end : line_end(text, end)]
        if line.strip() and len(line) - len(line.lstrip()) <= dash:
            break
        end = line_end(text, end)
    return start, end
