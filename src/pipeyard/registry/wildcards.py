"""Patterns in which only `*` is special, for any characters: rights of users, ECR's tag filters and lifecycle rules."""

from fnmatch import fnmatchcase


def fits(pattern: str, text: str) -> bool:
    """Whether all of `text` is what the pattern says. Takes time in proportion to both, whatever they are."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
