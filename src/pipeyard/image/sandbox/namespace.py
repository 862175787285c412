"""Rootless: a user namespace in which this process is root.

Entered once, at the start of a program, by a process that has one thread yet; from then on everything that needs root
(layers with owners, overlayfs, mounts) is the same code as for root. With ranges in /etc/subuid and /etc/subgid and the
programs newuidmap and newgidmap, owners are real ones; else there is one id, and owners are written down (powers.py).
"""

import os
import shutil
from pathlib import Path

from pipeyard.image.layers import form_of_this_process
from pipeyard.image.layers.powers import Powers
from pipeyard.image.sandbox.contract import SandboxError
from pipeyard.image.sandbox.kernel import CLONE_NEWNS, CLONE_NEWUSER, unshare

_SWITCHES = (
    # file, the value that forbids, what to do
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def become_root(*, ranges: bool = True, user: str = "", path: str = "/usr/bin:/bin:/usr/sbin:/sbin") -> Powers:
    """Enters a user namespace unless this process is root already; gives the powers that it has then.

    `user`: whose ranges of sub-ids to take (the number when empty). `path`: where newuidmap is looked for.
    Raises SandboxError, naming the setting in the way, when the machine forbids it or this process has threads.
    """
    if os.geteuid() == 0:
        return form_of_this_process().powers
    if len(os.listdir("/proc/self/task")) > 1:
        raise SandboxError("a process with several threads cannot enter a user namespace")
    uid, gid = os.geteuid(), os.getegid()
    helpers = _helpers(user or _name_of(uid), uid, gid, path) if ranges else []
    asked, ask = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _map_for_parent(asked, ask, helpers)
    os.close(asked)
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
    except OSError as error:
        os.close(ask)
        os.waitpid(child, 0)
        raise forbidden(error) from error
    os.write(ask, b"x")
    os.close(ask)
    if os.waitpid(child, 0)[1] != 0:
        _map_one(uid, gid)
    form_of_this_process.cache_clear()
    return form_of_this_process().powers


def _map_for_parent(asked: int, ask: int, helpers: list[list[str]]) -> None:
    """In a child: waits until the parent is in its namespace, then lets newuidmap and newgidmap write its maps."""
    status = 1
    try:
        os.close(ask)
        if os.read(asked, 1) and helpers:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)
            parent = str(os.getppid())
            codes = [_wait_for([program, parent, *ids]) for program, *ids in helpers]
            status = 1 if any(codes) else 0
    finally:
        os._exit(status)


def _wait_for(command: list[str]) -> int:
    child = os.posix_spawn(command[0], command, {})
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _map_one(uid: int, gid: int) -> None:
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise forbidden(error) from error


def _helpers(user: str, uid: int, gid: int, path: str) -> list[list[str]]:
    """The two commands that map our own id to root and the sub-ids to 1 and up; none when something is missing."""
    commands = []
    for name, file, own in (("newuidmap", "/etc/subuid", uid), ("newgidmap", "/etc/subgid", gid)):
        program = shutil.which(name, path=path)
        found = _sub_ids(file, user, uid)
        if program is None or found is None:
            return []
        commands.append([program, "0", str(own), "1", "1", str(found[0]), str(found[1])])
    return commands


def _sub_ids(file: str, user: str, uid: int) -> tuple[int, int] | None:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        owner, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        if owner in (user, str(uid)) and start.isdigit() and count.isdigit():
            return int(start), int(count)
    return None


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def forbidden(error: OSError) -> SandboxError:
    """What to tell when the kernel refuses a user namespace."""
    ways = []
    for file, value, way in _SWITCHES:
        try:
            if Path(file).read_text().strip() == value:
                ways.append(way)
        except OSError:
            continue
    return SandboxError(
        f"this machine forbids user namespaces to ordinary users: {error.strerror}",
        hint=(" and ".join(ways) or "inside a container, allow it unshare and mount") + ", or run as root",
    )
