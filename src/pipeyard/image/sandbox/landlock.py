"""What a RUN shares with this machine by sharing its network, and need not: abstract sockets, and signals.

An abstract unix socket belongs to a network, not to a file system: who shares the network of this machine could speak
to every service that listens on one. Landlock lets a process reach only those of processes that are confined as it is.

Source: Linux, Documentation/userspace-api/landlock.rst, "IPC scoping" (since 6.12).
"""

import os
import struct
from functools import cache

from pipeyard.image.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl, system_call

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_VERSION_WITH_SCOPES = 6
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1, 2


@cache
def confines() -> bool:
    """Whether this kernel knows scopes, and this machine allows them."""
    return system_call(_CREATE_RULESET, None, 0, 1) >= _VERSION_WITH_SCOPES


def confine() -> None:
    """Confines the calling thread, and all that it starts from now on. Does nothing where it cannot be done."""
    if not confines():
        return
    wanted = struct.pack("QQQ", 0, 0, _ABSTRACT_UNIX_SOCKET | _SIGNAL)  # accesses of files, of the network, scopes
    rules = system_call(_CREATE_RULESET, wanted, len(wanted), 0)
    if rules < 0:
        return
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
