"""Programs that attack from within a RUN, with all of Python at hand: each prints what it got, which is nothing."""

import os
import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeyard.image.sandbox import Bind, HostBind, Mount, SandboxError, landlock
from tests.image.sandbox.conftest import Machine, Ran

PRELUDE = """
import ctypes, errno, os, signal, socket, stat, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    ctypes.set_errno(0)
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])

def got(what):
    print("GOT", what, flush=True)
"""
RUNTIME = (sys.base_prefix, "/lib", "/lib64", "/usr/lib")


class Attacker:
    """Runs Python programs in the sandbox with namespaces."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def run(self, program: str, mounts: tuple[Mount, ...] = (), **more: object) -> Ran:
        shown = tuple(HostBind(target=path, source=Path(path)) for path in RUNTIME if os.path.isdir(path))
        text = PRELUDE + textwrap.dedent(program) + '\nprint("END", flush=True)'
        python = os.path.realpath(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
        ran = self.machine.run((python, "-S", "-c", text), mounts=(*shown, *mounts), **more)  # type: ignore[arg-type]
        assert "END" in ran.text, ran.text  # the program itself did not break
        return ran

    def got(self, program: str, mounts: tuple[Mount, ...] = (), **more: object) -> list[str]:
        lines = self.run(program, mounts, **more).text.splitlines()
        return [line.removeprefix("GOT ") for line in lines if line.startswith("GOT ")]


@pytest.fixture
def attacker(isolated: Machine) -> Attacker:
    return Attacker(isolated)


def test_an_attack_that_succeeds_is_told(attacker: Attacker) -> None:
    assert attacker.got("os.mkdir('/mine'); got(os.listdir('/mine'))") == ["[]"]


def test_no_file_of_the_kernels_settings_opens_for_writing(attacker: Attacker) -> None:
    assert attacker.got(
        """
        for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"):
            for folder, folders, names in os.walk(top):
                for name in names:
                    try:
                        os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
                        got(os.path.join(folder, name))
                    except OSError:
                        pass
        for name in ("sysrq-trigger", "kcore", "kmsg", "mtrr"):
            try:
                os.close(os.open(f"/proc/{name}", os.O_RDWR | os.O_NONBLOCK))
                with open(f"/proc/{name}", "rb") as file:
                    if file.read(1):
                        got(name)
            except OSError:
                pass
        """
    ) in ([], ["mtrr"])


def test_the_command_is_process_1_and_has_no_parent_to_attack(attacker: Attacker) -> None:
    """As in BuildKit; a helper of the sandbox would be a process without the filter, whose memory could be written."""
    ran = attacker.run(
        """
        print(os.getpid(), os.getppid())
        for pid in (name for name in os.listdir("/proc") if name.isdigit()):
            with open(f"/proc/{pid}/status") as file:
                values = dict(line.split(":", 1) for line in file)
            print(pid, values["Seccomp"].strip(), values["NoNewPrivs"].strip())
        """
    )
    assert ran.text.splitlines() == ["1 0", "1 2 1", "END"]


def test_no_process_outside_can_be_traced_read_or_written(attacker: Attacker) -> None:
    assert (
        attacker.got(
            f"""
        for pid in ({os.getpid()}, {os.getppid()}, os.getppid(), 2):
            for request in (16, 0x4206):
                if libc.ptrace(request, pid, 0, 0) == 0:
                    got(f"ptrace {{request}} of {{pid}}")
            for name in ("mem", "maps", "environ", "root/etc/passwd", "cwd/etc/passwd", "fd/0", "exe"):
                try:
                    with open(f"/proc/{{pid}}/{{name}}", "rb") as file:
                        got(f"{{name}} of {{pid}}")
                except OSError:
                    pass
            data = ctypes.create_string_buffer(8)
            vector = struct.pack("QQ", ctypes.addressof(data), 8)
            if call(310, pid, vector, 1, struct.pack("QQ", 0x400000, 8), 1, 0) > 0:
                got(f"process_vm_readv of {{pid}}")
            if call(434, pid, 0) >= 0:
                got(f"pidfd of {{pid}}")
            try:
                os.kill(pid or -1, 0)
                got(f"signal to {{pid}}")
            except OSError:
                pass
        """
        )
        == []
    )


def test_the_newer_calls_mount_nothing_either(attacker: Attacker) -> None:
    assert (
        attacker.got(
            """
        AT = -100
        for name, number, arguments in (
            ("open_tree", 428, (AT, b"/", 1)),
            ("fsopen", 430, (b"tmpfs", 0)),
            ("fspick", 433, (AT, b"/", 0)),
            ("mount_setattr", 442, (AT, b"/proc/sys", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)),
            ("mount", 165, (b"none", b"/tmp", b"tmpfs", 0, 0)),
            ("remount", 165, (b"none", b"/proc/sys", b"", 32 | 4096, 0)),
            ("umount2", 166, (b"/proc/sys", 2)),
            ("unshare mount", 272, (0x20000,)),
            ("unshare user", 272, (0x10000000,)),
            ("unshare network", 272, (0x40000000,)),
            ("setns", 308, (os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)),
            ("pivot_root", 155, (b".", b".")),
            ("swapon", 167, (b"/bin/busybox", 0)),
            ("reboot", 169, (0xFEE1DEAD, 672274793, 0x89ABCDEF, 0)),
            ("settimeofday", 164, (struct.pack("QQ", 0, 0), 0)),
            ("init_module", 175, (b"x", 1, b"")),
            ("quotactl", 179, (0x800001, b"/", 0, 0)),
        ):
            if call(number, *arguments) >= 0:
                got(name)
        """
            if os.uname().machine == "x86_64"
            else "pass"
        )
        == []
    )


def test_a_device_node_of_any_kind_opens_nothing(attacker: Attacker, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    assert (
        attacker.got(
            """
        for place in ("/", "/tmp/", "/dev/", "/dev/shm/", "/cache/"):
            for at, (kind, major, minor) in enumerate(
                [(stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 5), (stat.S_IFCHR, 5, 1), (stat.S_IFCHR, 10, 200),
                 (stat.S_IFCHR, 10, 229), *((stat.S_IFBLK, major, 0) for major in (7, 8, 252, 253, 254, 259))]
            ):
                path = f"{place}node{at}"
                try:
                    os.mknod(path, kind | 0o666, os.makedev(major, minor))
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
                    got(path)
                except OSError:
                    pass
        for name in os.listdir("/dev"):
            if name not in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "shm", "pts", "mqueue", "core",
                            "fd", "stdin", "stdout", "stderr", "console") and not name.startswith("node"):
                got(name)
        """,
            mounts=(HostBind(target="/cache", source=cache, writable=True),),
        )
        == []
    )


@pytest.fixture
def abstract() -> Iterator[str]:
    """A service of this machine on an abstract unix socket; it greets whoever comes."""
    name = f"pipeyard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()

        def greet() -> None:
            try:
                while True:
                    server.accept()[0].sendall(b"hello")
            except OSError:
                pass

        threading.Thread(target=greet, daemon=True).start()
        yield name
        server.shutdown(socket.SHUT_RDWR)


REACH = """
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    try:
        client = socket.socket(socket.AF_UNIX, kind)
        client.settimeout(5)
        client.connect(b"\\0" + {name!r}.encode())
        got(client.recv(5))
    except OSError:
        pass
"""


def test_without_network_no_abstract_socket_of_this_machine_is_reached(attacker: Attacker, abstract: str) -> None:
    assert attacker.got(REACH.format(name=abstract), network="none") == []


@pytest.mark.skipif(not landlock.confines(), reason="this kernel has no scopes of Landlock (6.12)")
def test_with_network_no_abstract_socket_of_this_machine_is_reached(attacker: Attacker, abstract: str) -> None:
    assert attacker.got(REACH.format(name=abstract)) == []
    assert attacker.got(REACH.format(name=abstract), insecure=True) == ["b'hello'"]


def test_abstract_sockets_within_a_run_work(attacker: Attacker) -> None:
    assert attacker.got(
        """
        server = socket.socket(socket.AF_UNIX)
        server.bind(b"\\0mine")
        server.listen()
        if os.fork() == 0:
            client = socket.socket(socket.AF_UNIX)
            client.connect(b"\\0mine")
            client.sendall(b"inner")
            os._exit(0)
        got(server.accept()[0].recv(5))
        """
    ) == ["b'inner'"]


@pytest.mark.skipif(not landlock.confines(), reason="this kernel has no scopes of Landlock (6.12)")
def test_no_process_of_this_machine_can_be_signalled_by_a_chroot_run(machine: Machine) -> None:
    ran = machine.run(f"kill -0 {os.getpid()} && echo REACHED; sleep 100 & kill -9 $! && echo own")
    assert "REACHED" not in ran.text
    assert "own" in ran.text


def test_a_context_that_changes_under_the_mount_shows_nothing_else(attacker: Attacker, tmp_path: Path) -> None:
    """A folder that is shown to a RUN is swapped for a link to the outside all the while."""
    context, secret = tmp_path / "context", tmp_path / "secret"
    (context / "inner").mkdir(parents=True)
    secret.mkdir()
    (secret / "f").write_text("hidden")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (context / "inner").rename(context / "aside")
            (context / "inner").symlink_to(secret)
            (context / "inner").unlink()
            (context / "aside").rename(context / "inner")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        assert (
            attacker.got(
                """
            for _ in range(20000):
                try:
                    with open("/c/inner/f") as file:
                        got(file.read())
                except OSError:
                    pass
            """,
                mounts=(Bind(target="/c", lowers=(context,)),),
            )
            == []
        )
    finally:
        over.set()
        swapper.join()


def test_a_cache_whose_folders_become_links_leads_no_mount_out(attacker: Attacker, tmp_path: Path) -> None:
    """One RUN swaps a folder of the cache for a link while others mount into it."""
    cache, victim = tmp_path / "cache", tmp_path / "victim"
    (cache / "d").mkdir(parents=True)
    victim.mkdir()
    shared = HostBind(target="/c", source=cache, writable=True)
    made = tmp_path / "given"
    made.mkdir()
    attacks = threading.Thread(
        target=attacker.got,
        args=(
            f"""
            begun = time.monotonic()
            while not os.path.exists("/c/over") and time.monotonic() - begun < 60:
                for target in ("/oldroot{victim}", "../../../../../../oldroot{victim}", "/proc/1/root{victim}"):
                    try:
                        os.rename("/c/d", "/c/e")
                        os.symlink(target, "/c/d")
                        os.unlink("/c/d")
                        os.rename("/c/e", "/c/d")
                    except OSError:
                        pass
            """,
            (shared,),
        ),
    )
    attacks.start()
    try:
        for number in range(30):
            with suppress(SandboxError):
                attacker.machine.run("true", mounts=(shared, HostBind(target=f"/c/d/{number}", source=made)))
    finally:
        (cache / "over").touch()
        attacks.join()
    assert list(victim.iterdir()) == []
