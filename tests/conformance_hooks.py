"""What conformance suites ask of us, in their own words; thin over the real code."""

from pathlib import Path
from typing import Any

from pipeyard.definition.terraform import evaluate_in
from pipeyard.definition.terraform.plain import to_plain
from pipeyard.image.dockerfile.ignore import compile_ignore
from pipeyard.image.dockerfile.lexer import Dialect, lex
from pipeyard.image.dockerfile.parser import parse as parse_dockerfile
from pipeyard.image.dockerfile.statements import Statement, read_statements


def parse(text: str) -> dict[str, Any]:
    """The statements of a Dockerfile that is right as a whole."""
    data = text.encode("utf-8", "surrogateescape")
    parse_dockerfile(data, "Dockerfile")
    read = read_statements(data, "Dockerfile")
    return {"escape": read.escape, "instructions": [_described(statement) for statement in read.statements]}


def expand(word: str, env: dict[str, str], escape: str, mode: str) -> dict[str, Any]:
    """One word, a word that splits, or the body of a heredoc."""
    lexed = lex(word, env, Dialect(escape=escape, quotes=mode != "heredoc"), split=mode == "words")
    return {"words": list(lexed.words)} if mode == "words" else {"result": lexed.text}


def ignored(ignorefile: str, paths: list[str]) -> list[bool]:
    """Whether each path, or a folder above it, stays out of the context."""
    matcher = compile_ignore(ignorefile.encode("utf-8", "surrogateescape"), ".dockerignore")
    return [matcher.ignores(path) for path in paths]


def evaluate(folder: str, expression: str) -> Any:
    """An expression of Terraform's in the scope of a folder's module, as `jsonencode` would encode it."""
    return to_plain(evaluate_in(Path(folder), expression))


def _described(statement: Statement) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": statement.name,
        "flags": list(statement.flags),
        "json": statement.exec_form,
        "start_line": statement.start_line,
        "end_line": statement.end_line,
        "heredocs": [
            {"name": doc.name, "fd": doc.fd, "expand": doc.expand, "chomp": doc.chomp, "content": doc.content}
            for doc in statement.heredocs
        ],
    }
    if statement.trigger is not None:
        described["onbuild"] = _described(statement.trigger)
    elif statement.name in ("ENV", "LABEL"):
        described["pairs"] = [[pair.name.raw, pair.value.raw] for pair in statement.pairs]
    else:
        described["args"] = [word.raw for word in statement.arguments]
    return described
