"""Values of options that have parts, `key=value,key=value`, as buildx reads them: CSV, where quotes keep commas."""

from collections.abc import Collection

from pipeyard.errors import InputError


def fields_of(text: str, option: str) -> list[tuple[str, str]]:
    """Keys, in lower case, and values; a part without `=` has the value "". Raises InputError for a bad quote."""
    pairs = (part.strip().partition("=") for part in _parts(text, option))
    return [(key.lower(), value) for key, _, value in pairs]


def _parts(text: str, option: str) -> list[str]:
    if not any(mark in text for mark in '"\r\n'):
        return text.split(",") if text else []
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InputError(f"{option} {text!r} is not understood: {error}") from error
    return rows[0] if rows else []


def refuse_unknown(found: Collection[str], known: Collection[str], option: str) -> None:
    """Raises InputError for a key that would otherwise be ignored."""
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InputError(f"{option} knows no {unknown[0]!r}", hint=f"known are {', '.join(sorted(known))}")


def truth(option: str, text: str) -> bool:
    """Raises InputError for what is neither true nor false."""
    from pipeyard.image.dockerfile.quantities import parse_bool

    found = parse_bool(text)
    if found is None:
        raise InputError(f"{option} {text!r} is neither true nor false")
    return found
