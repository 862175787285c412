"""What a RUN needs and what comes of it: the contract that every sandbox keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from pipeyard.errors import PipeyardError
from pipeyard.threads import Stop

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SandboxError(PipeyardError):
    """The sandbox itself failed; the command did not run, or not to its end."""


class Root(Struct, frozen=True, kw_only=True):
    """The file system of the command: `lowers` (the lowest first, never written to) with changes going to `upper`.

    `upper` and `work` are folders of one file system, `work` empty. After the run `upper` holds what changed, in
    overlayfs' form (read it with diff_upper), and is a lower for what follows.
    """

    lowers: tuple[Path, ...]
    upper: Path
    work: Path


class Command(Struct, frozen=True, kw_only=True):
    """`environment` is all that the command sees. Without a slash, the program is looked up in its PATH."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str = "/"  # the working folder, which exists
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()  # supplementary
    stdin: bytes | None = None  # None: /dev/null
    network: Literal["host", "none"] = "host"
    insecure: bool = False  # --security=insecure: every capability, no system call filter
    hostname: str = "buildkitsandbox"  # BuildKit's, which programs may have written somewhere


class Bind(Struct, frozen=True, kw_only=True, tag=True):
    """Part of another tree (a context, a stage, an image), untrusted: `source` is resolved within it.

    `discard`: writable, and what is written is thrown away.
    """

    target: str
    lowers: tuple[Path, ...]  # the lowest first
    source: str = ""
    access: Literal["read", "discard"] = "read"


class HostBind(Struct, frozen=True, kw_only=True, tag=True):
    """A file, folder or socket of this machine that the builder or the operator chose: cache mounts, ssh agents."""

    target: str
    source: Path
    writable: bool = False


class Tmpfs(Struct, frozen=True, kw_only=True, tag=True):
    """`size` in bytes; 0: half of the memory."""

    target: str
    size: int = 0
    mode: int = 0o1777
    writable: bool = True


class FileMount(Struct, frozen=True, kw_only=True, tag=True):
    """A file that lives in memory only, for secrets and for /etc/hosts and its like."""

    target: str
    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    writable: bool = False


Mount = Bind | HostBind | Tmpfs | FileMount


class Limits(Struct, frozen=True, kw_only=True):
    """0: unlimited."""

    memory: int = 0  # bytes, of all its processes together
    processes: int = 0
    seconds: float = 0
    shared_memory: int = 0  # bytes of /dev/shm
    ulimits: dict[str, tuple[int, int]] = {}  # of each process, as getrlimit(2) names them; -1 is unlimited


NO_LIMITS = Limits()


class Exit(Struct, frozen=True):
    """`status` as a shell gives it: 128 + signal for a death by signal. `limit`: which limit ended it, or empty."""

    status: int
    limit: Literal["", "memory", "processes", "seconds"] = ""

    @property
    def signal(self) -> int:
        return self.status - 128 if self.status > 128 else 0


Output = Callable[[bytes], None]
"""Standard output and error as they come, in order; called from one thread."""


def nothing() -> None:
    """For who does not care."""


class Sandbox(Protocol):
    """Runs commands, any number at once from any threads. When `run` returns, no process of the command is alive."""

    name: str
    limitation: str  # what the user should know about it, in one line; empty when there is nothing

    def run(
        self,
        command: Command,
        root: Root,
        *,
        mounts: tuple[Mount, ...],
        limits: Limits,
        output: Output,
        stop: Stop,
        begun: Callable[[], None] = nothing,
    ) -> Exit:
        """Raises SandboxError, and Stopped after a stop; mount points that it made are gone from `upper`.

        `begun` is called when there is nothing left to do but to wait for the command.
        """  # fmt: skip
