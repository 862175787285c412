"""The flags that an instruction may have, and their values.

Source: BuildKit, frontend/dockerfile/instructions/bflag.go.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.suggestions import did_you_mean

Kind = Literal["boolean", "text", "texts"]


class Flags(Struct, frozen=True):
    """What was given, by name without the dashes."""

    booleans: dict[str, bool]
    texts: dict[str, str]
    lists: dict[str, tuple[str, ...]]


_NOTHING_GIVEN = Flags({}, {}, {})
NO_FLAGS: Mapping[str, Kind] = {}


def read_flags(given: tuple[str, ...], allowed: Mapping[str, Kind]) -> Flags:
    """Raises DockerfileError for a flag that does not exist here, comes twice, or has no fitting value."""
    if not given:
        return _NOTHING_GIVEN
    booleans: dict[str, bool] = {}
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for flag in given:
        dashed, equals, value = flag.partition("=")
        name = dashed[2:]
        kind = allowed.get(name)
        if not dashed.startswith("--") or kind is None:
            raise DockerfileError(f"unknown flag: {dashed}", hint=did_you_mean(name, allowed))
        if name in booleans or name in texts:
            raise DockerfileError(f"duplicate flag specified: {dashed}")
        if kind == "boolean":
            if value.lower() not in ("true", "false") and (equals or value):
                if not value:
                    raise DockerfileError(f"missing a value on flag: {dashed}", hint=f"write {dashed}=true")
                raise DockerfileError(f"expecting boolean value for flag {dashed}, not: {value}", hint="true or false")
            booleans[name] = value.lower() != "false"
        elif not equals:
            raise DockerfileError(f"missing a value on flag: {dashed}", hint=f"write {dashed}=value")
        elif kind == "text":
            texts[name] = value
        else:
            lists[name] = (*lists.get(name, ()), value)
    return Flags(booleans, texts, lists)
