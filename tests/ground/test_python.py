"""What the oldest Python that we support asks of the source."""

import ast
import re
from pathlib import Path

import pipeyard

_possessive_group = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+").search


def test_no_pattern_has_a_possessive_group() -> None:
    # CPython before 3.11.5, and so Debian 12's, matches them wrongly: gh-106052. Atomic groups are right.
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(pipeyard.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _possessive_group(node.value)
    ]
    assert found == []
