"""Terraform: the pieces of text that belong to a block or an attribute, found by brackets, strings and comments."""

import re

from msgspec import Struct

from pipeyard.definition.migrate.edits import Edit, line_end, line_start


class Span(Struct, frozen=True):
    """From the block's first letter to behind its closing brace; `body` is where its braces are."""

    start: int
    end: int
    body: tuple[int, int]


_SKIP = re.compile(
    r"#[^\n]*|//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|<<-?\s*(?P<word>\w+)\n.*?\n[ \t]*(?P=word)(?=\n|$)", re.DOTALL
)


def closing(text: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`."""
    depth, at = 0, start
    while at < len(text):
        skipped = _SKIP.match(text, at)
        if skipped:
            at = skipped.end()
            continue
        if text[at] in "{[(":
            depth += 1
        elif text[at] in "}])":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(text)


def blocks(text: str, header: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Every block whose header fits the pattern, such as `resource "aws_codebuild_project" "(\\w+)"`."""
    found = []
    for match in re.compile(rf"^[ \t]*(?P<header>{header})\s*\{{", re.MULTILINE).finditer(
        text, start, end or len(text)
    ):
        brace = match.end() - 1
        found.append(Span(match.start("header"), closing(text, brace), (brace, closing(text, brace))))
    return found


def attribute(text: str, span: Span, name: str) -> tuple[int, int] | None:
    """Where an attribute's value is written; the first of that name within the block."""
    at = span.body[0] + 1
    pattern = re.compile(rf"[ \t]*{re.escape(name)}[ \t]*=[ \t]*")
    while at < span.body[1]:
        found = pattern.match(text, at)
        if found:
            return found.end(), _value_end(text, found.end())
        if text[at] in "{[(":
            at = closing(text, at)
            continue
        skipped = _SKIP.match(text, at)
        if skipped:
            at = skipped.end()
            continue
        at += 1
        while at < span.body[1] and text[at - 1] not in "\n{" and text[at] not in '{[("#/':
            at += 1
    return None


def _value_end(text: str, start: int) -> int:
    at = start
    while at < len(text) and text[at] != "\n":
        skipped = _SKIP.match(text, at)
        if skipped:
            if text[at] in "#/":
                break
            at = skipped.end()
        elif text[at] in "{[(":
            at = closing(text, at)
        else:
            at += 1
    return start + len(text[start:at].rstrip())


def action_edits(text: str, action: Span, settings: dict[str, str]) -> list[Edit]:
    """Makes an `action` block an ECRBuildAndPublish action. `settings` are keys and expressions of HCL."""
    edits = []
    for name, value in (("provider", '"ECRBuildAndPublish"'), ("category", '"Build"')):
        span = attribute(text, action, name)
        if span is not None and text[span[0] : span[1]] != value:
            edits.append(Edit(span[0], span[1], value))
    span = attribute(text, action, "configuration")
    if span is not None:
        line = text[line_start(text, span[0]) : span[0]]
        indent = line[: len(line) - len(line.lstrip())]
        width = max(map(len, settings))
        entries = "".join(f"{indent}  {key.ljust(width)} = {value}\n" for key, value in settings.items())
        edits.append(Edit(span[0], span[1], f"{{\n{entries}{indent}}}"))
    return edits


def removal(text: str, span: Span) -> Edit:
    """A block with the comments directly above it, its line break and the empty line behind it."""
    start = line_start(text, span.start)
    while start > 0:
        above = line_start(text, start - 1)
        if not text[above:start].lstrip().startswith(("#", "//")):
            break
        start = above
    end = line_end(text, span.end)
    if text[end : end + 1] == "\n":
        end += 1
    elif end >= len(text) and text[:start].endswith("\n\n"):
        start -= 1
    return Edit(start, end)


def scalar(value: str) -> str:
    """A string of HCL; `${` is not to be expanded."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${") + '"'
