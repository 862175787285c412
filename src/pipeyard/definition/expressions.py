"""`#{Namespace.Variable}` in action configurations: parsing and resolving.

Source: CodePipeline User Guide, "Variables reference".
"""

import re
from collections.abc import Mapping, Set

from msgspec import Struct

from pipeyard.errors import InputError

PIPELINE_VARIABLES = "variables"
"""Namespace of the variables that the pipeline itself declares: `#{variables.Name}`."""

EXECUTION_VARIABLES = "codepipeline"
"""Namespace of what the service puts out about the execution: `#{codepipeline.PipelineExecutionId}`."""

EXECUTION_VARIABLE_NAMES = frozenset({"PipelineExecutionId"})

RESERVED_NAMESPACES = frozenset({PIPELINE_VARIABLES, EXECUTION_VARIABLES})


class Reference(Struct, frozen=True):
    """`#{namespace.variable}`; `offset` counts the characters before it in its text."""

    namespace: str
    variable: str
    offset: int = 0

    def __str__(self) -> str:
        return f"#{{{self.namespace}.{self.variable}}}"


class UnresolvedReference(InputError):
    """A reference to a variable that has no value."""

    def __init__(self, reference: Reference, *, hint: str = "") -> None:
        super().__init__(f"{reference} has no value", hint=hint)
        self.reference = reference


_OPENING = "#{"
_REFERENCE = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([^{}\s]+)\}")


def parse_expression(text: str) -> tuple[str | Reference, ...]:
    """Literal pieces and references in order: "#{Build.Tag},latest" gives (Reference("Build", "Tag"), ",latest").

    The empty text gives (). Raises InputError for `#{` that does not begin a reference of the form
    `#{namespace.variable}`, since the service refuses it.
    """
    pieces: list[str | Reference] = []
    at = 0
    while (start := text.find(_OPENING, at)) >= 0:
        if start > at:
            pieces.append(text[at:start])
        found = _REFERENCE.match(text, start)
        if found is None:
            end = text.find("}", start)
            shown = text[start : end + 1] if end >= 0 else text[start : start + 40]
            raise InputError(
                f"{shown!r} is not a variable reference",
                hint="a reference is a namespace and a variable separated by a period, #{Namespace.Variable}",
            )
        pieces.append(Reference(found[1], found[2], start))
        at = found.end()
    if at < len(text):
        pieces.append(text[at:])
    return tuple(pieces)


def references(text: str) -> tuple[Reference, ...]:
    """The references of a text. Raises InputError as parse_expression does."""
    if _OPENING not in text:
        return ()
    return tuple(piece for piece in parse_expression(text) if isinstance(piece, Reference))


def resolve(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """The text with each reference replaced by `values[namespace][variable]`; values are not expanded again.

    Raises UnresolvedReference for a variable without a value. Names are case-sensitive.
    """
    if _OPENING not in text:
        return text
    return "".join(piece if isinstance(piece, str) else _value(piece, values) for piece in parse_expression(text))


def resolve_all(
    configuration: Mapping[str, str], values: Mapping[str, Mapping[str, str]], keep: Set[str] = frozenset()
) -> dict[str, str]:
    """`resolve` for every value of a configuration; those under the keys in `keep` are left as they are."""
    return {key: text if key in keep else resolve(text, values) for key, text in configuration.items()}


def _value(reference: Reference, values: Mapping[str, Mapping[str, str]]) -> str:
    found = values.get(reference.namespace)
    if found is None:
        known = ", ".join(sorted(values))
        raise UnresolvedReference(reference, hint=f"namespaces with values are {known}" if known else "")
    if reference.variable not in found:
        known = ", ".join(sorted(found))
        raise UnresolvedReference(
            reference, hint=f"namespace {reference.namespace} has {known}" if known else "the namespace has no values"
        )
    return found[reference.variable]
