"""Regular expressions that are compiled when they are first used: one process needs few of those that exist."""

import re
from typing import Any, cast


def later(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """What re.compile gives, but at the first use. Take `.match` and the like where it is called, not before."""
    return cast("re.Pattern[str]", _Later(pattern, flags))


class _Later:
    def __init__(self, pattern: str, flags: int) -> None:
        self._wanted = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__[name] = getattr(re.compile(*self._wanted), name)
        return found
