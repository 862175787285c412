"""Where something can be mounted in a root that is not trusted, and no trace of it afterwards."""

import errno
import os
import stat

from pipeyard.image.layers.stack import resolve_links
from pipeyard.image.sandbox.contract import SandboxError


class MountPoints:
    """Mount points in the tree at `root`, which nobody changes meanwhile."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._stubs: list[str] = []

    def place(self, target: str, *, folder: bool) -> str:
        """The path in the root, without symlinks, at which something can be mounted; made when it is missing."""
        try:
            path = resolve_links(target, self._link)
        except OSError as error:
            raise SandboxError(f"nothing can be mounted at {target}: {error.strerror}") from error
        if not path:
            raise SandboxError(f"nothing can be mounted at {target!r}: it is the root")
        try:
            self._make(path, folder=folder)
        except OSError as error:
            raise SandboxError(f"nothing can be mounted at /{path}: {error.strerror}") from error
        return f"/{path}"

    def _link(self, path: str) -> str | None:
        try:
            return os.readlink(f"{self.root}/{path}")
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    def _make(self, path: str, *, folder: bool) -> None:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            here = f"{self.root}/{'/'.join(parts[:count])}"
            last = count == len(parts)
            try:
                status = os.lstat(here)
            except FileNotFoundError:
                pass
            else:
                if stat.S_ISDIR(status.st_mode) != (folder or not last):
                    wrong = errno.ENOTDIR if folder or not last else errno.EISDIR
                    raise OSError(wrong, os.strerror(wrong))
                continue
            parent = os.stat(os.path.dirname(here))
            if folder or not last:
                os.mkdir(here, 0o755)
                os.chmod(here, 0o755)  # noqa: S103 -- whatever our umask is
            else:
                os.close(os.open(here, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            self._stubs.append(here)
            os.utime(os.path.dirname(here), ns=(parent.st_atime_ns, parent.st_mtime_ns))

    def remove_stubs(self) -> None:
        """Mount points made for the run that are still empty go; their parents keep their times, as in BuildKit."""
        for stub in reversed(self._stubs):
            parent = os.path.dirname(stub)
            try:
                if os.path.realpath(parent) != parent:
                    continue
                times = os.stat(parent)
                status = os.lstat(stub)
                if stat.S_ISDIR(status.st_mode):
                    os.rmdir(stub)
                elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
                    os.unlink(stub)
                else:
                    continue
                os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
            except OSError:
                continue
