"""Names of variables that hold secrets, which a build shows to nobody. Source: BuildKit, the rule of its linter."""

import re

from pipeyard.patterns import later

_secret = later(r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE)
_no_secret = later(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as names tell."""
    return bool(_secret.search(name)) and not _no_secret.search(name)
