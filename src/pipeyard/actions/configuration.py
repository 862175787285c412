"""An action's configuration as a struct: its fields are the provider's documentation and its validation."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import msgspec
from msgspec import Struct

from pipeyard.errors import ActionFailed

Configured = TypeVar("Configured", bound=Struct)


def read_configuration(kind: type[Configured], configuration: Mapping[str, str]) -> Configured:
    """The resolved configuration as `kind`. Raises ActionFailed naming the key that is wrong."""
    complaints = list(check_keys(kind, configuration))
    if complaints:
        raise ActionFailed(complaints[0])
    try:
        return msgspec.convert(dict(configuration), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ActionFailed(f"the configuration has a wrong value: {error}") from error


def check_keys(kind: type[Struct], configuration: Mapping[str, str]) -> Iterable[str]:
    """Complaints about keys that the provider does not have, and about those it needs and did not get."""
    fields = msgspec.structs.fields(kind)
    known = [field.encode_name for field in fields]
    for key in configuration:
        if key not in known:
            close = get_close_matches(key, known, 1)
            suggestion = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
            yield f"{key} is no key of this action's configuration{suggestion}"
    for field in fields:
        if field.required and not configuration.get(field.encode_name, "").strip():
            yield f"{field.encode_name} is missing from the configuration"
