"""Limits that the kernel keeps for each process, by the names that Docker gives them. Source: getrlimit(2)."""

from collections.abc import Mapping

from pipeyard.image.sandbox.contract import SandboxError

ULIMITS = {
    "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
    "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}  # fmt: skip
"""RLIMIT_* of <sys/resource.h>, the same on x86-64 and arm64."""


def set_ulimits(ulimits: Mapping[str, tuple[int, int]], pid: int) -> None:
    """For a process (0: this one) and what it will start. Raises SandboxError for more than this user may have."""
    import resource

    for name, values in ulimits.items():
        try:
            resource.prlimit(pid, ULIMITS[name], values)
        except (OSError, ValueError) as error:
            reason = "this user may not have so much" if isinstance(error, PermissionError) else error
            raise SandboxError(f"the limit {name}={values[0]}:{values[1]} cannot be set: {reason}") from error
