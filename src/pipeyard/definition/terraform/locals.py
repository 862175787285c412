"""The order in which a module's locals are computed, so that a long chain of them needs no deep recursion."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from pipeyard.definition.terraform.syntax import Attribute, GetAttribute, Name


def needed_first(name: str, declared: Mapping[str, Attribute]) -> Iterator[str]:
    """The locals that a local refers to, directly or through others, each behind those that it refers to itself.

    The local itself is not among them. Where locals refer to each other in a circle, the circle is cut somewhere:
    whoever computes them finds it.
    """
    seen = {name}
    waiting = [(name, iter(_referred(declared[name])))]
    while waiting:
        owner, references = waiting[-1]
        found = next((one for one in references if one in declared and one not in seen), None)
        if found is None:
            waiting.pop()
            if waiting:
                yield owner
        else:
            seen.add(found)
            waiting.append((found, iter(_referred(declared[found]))))


def _referred(attribute: Attribute) -> list[str]:
    """Names of the locals in an expression, in no certain order."""
    names: list[str] = []
    parts: list[object] = [attribute.value]
    while parts:
        part = parts.pop()
        if isinstance(part, tuple):
            parts.extend(part)
        elif isinstance(part, GetAttribute) and isinstance(part.of, Name):
            if part.of.name == "local":
                names.append(part.name)
        elif isinstance(part, Struct):
            parts.extend(getattr(part, field) for field in part.__struct_fields__ if field != "span")
    return names
