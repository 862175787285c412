"""RUN: a command in the sandbox, with its mounts, its user and its network.

Source: BuildKit, executor and solver/llbsolver/mounts; Dockerfile reference, "RUN --mount".
"""

import hashlib
import os
import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import assert_never

from msgspec import Struct, structs

from pipeyard.errors import BuildFailed
from pipeyard.files import locked
from pipeyard.image.build.copying import Copier, Ownership, resolve_in
from pipeyard.image.build.gotext import quoted
from pipeyard.image.build.graph import MountOf, RunCommand, Vertex
from pipeyard.image.build.laying import lay_out
from pipeyard.image.build.nodes import FileTree
from pipeyard.image.build.owners import process_identity
from pipeyard.image.build.request import Limits, Secret, SshAgent
from pipeyard.image.build.scope import DEFAULT_PATH
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.build.views import Growing, View
from pipeyard.image.dockerfile.instructions import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from pipeyard.image.sandbox.contract import (
    Bind,
    Command,
    FileMount,
    HostBind,
    Mount,
    Root,
    Sandbox,
    Tmpfs,
)
from pipeyard.image.sandbox.contract import Limits as SandboxLimits
from pipeyard.progress import Observer, StepOutput, Warned
from pipeyard.threads import StopSignal

_OPEN = 0o755  # mkdtemp is for one user, a mount for all of the image
_TAIL = 4096  # bytes of output that a failure shows
_LIMITS = {
    "memory": "it used more memory than its limit allows",
    "processes": "it started more processes than its limit allows",
    "seconds": "it took longer than its limit allows",
}


class RunSettings(Struct, frozen=True, kw_only=True):
    """What the request gives every RUN."""

    secrets: Mapping[str, Secret]
    ssh: Mapping[str, SshAgent]
    limits: Limits
    insecure: bool = False  # a RUN may ask to be outside of the sandbox


class Runner:
    """Runs the commands of one build. Safe for threads; the sandbox is made for the first of them."""

    def __init__(
        self,
        make_sandbox: Callable[[Path], Sandbox] | None,
        cache: Path,
        settings: RunSettings,
        observe: Observer,
        stop: StopSignal,
        begun: Callable[[], None],
    ) -> None:
        """`begun` is called whenever a command has begun, and its thread only waits for it."""
        self._make_sandbox = make_sandbox
        self._cache = cache
        self._settings = settings
        self._observe = observe
        self._stop = stop
        self._begun = begun
        self._sandbox: Sandbox | None = None
        self._lock = threading.Lock()  # guards _sandbox

    def sandbox(self) -> Sandbox:
        with self._lock:
            if self._sandbox is None:
                if self._make_sandbox is None:
                    raise BuildFailed("RUN is not possible here: there is no sandbox")
                self._sandbox = self._make_sandbox(self._cache / "sandbox")
                if self._sandbox.limitation:
                    self._observe(Warned(self._sandbox.limitation))
            return self._sandbox

    def run(
        self,
        run: RunCommand,
        vertex: Vertex,
        *,
        lowers: Sequence[Path],
        tree: StackTree,
        upper: Path,
        trees: Mapping[int, FileTree],
        folders: Mapping[int, tuple[Path, ...]],
        step: str,
    ) -> None:
        """Leaves in `upper` what the command changed of `lowers`, which `tree` shows as one.

        Raises BuildFailed when it did not succeed.
        """
        if run.platform:
            from pipeyard.image.build.emulators import check_platform

            check_platform(run.platform)
        if run.insecure and not self._settings.insecure:
            raise BuildFailed(
                "security.insecure is not allowed: this RUN would be outside of the sandbox",
                hint="if you trust the Dockerfile: --allow security.insecure",
            )
        sandbox = self.sandbox()
        identity = process_identity(run.user, tree)
        environment = {"PATH": DEFAULT_PATH, **dict(vertex.proxy), **dict(run.environment)}
        environment.setdefault("HOME", identity.home)
        work = upper.parent / "work"
        work.mkdir()
        # Without links: as a container runtime has it, the shell learns of none on its way.
        folder = resolve_in(tree, posixpath.normpath("/" + run.folder).strip("/"))
        _needed_folders(folder, tree, upper)
        tail = bytearray()

        def output(data: bytes) -> None:
            tail.extend(data)
            del tail[:-_TAIL]
            self._observe(StepOutput(step, data))

        with ExitStack() as held:
            mounts = list(_network_files(run))
            for mount in sorted(_with_agents(run.mounts, environment), key=lambda one: one.target.count("/")):
                mounts += self._mount(mount, trees, folders, environment, held)
            if run.script is not None:
                name, text = run.script
                data = text.encode("utf-8", "surrogateescape")
                mounts.append(FileMount(target=f"/dev/pipes/{name}", data=data, mode=0o755))
            command = Command(
                arguments=run.arguments,
                environment=environment,
                folder=f"/{folder}",
                uid=identity.uid,
                gid=identity.gid,
                groups=identity.groups,
                network="none" if run.network == "none" else "host",
                insecure=run.insecure,
                hostname=run.hostname or "buildkitsandbox",
            )
            limits = self._settings.limits
            ended = sandbox.run(
                command,
                Root(lowers=tuple(lowers), upper=upper, work=work),
                mounts=tuple(mounts),
                limits=SandboxLimits(
                    memory=limits.memory,
                    processes=limits.processes,
                    seconds=limits.time_s,
                    shared_memory=limits.shared_memory,
                    ulimits=dict(limits.ulimits),
                ),
                output=output,
                stop=self._stop,
                begun=self._begun,
            )
        _remove_work(work)
        if ended.status == 0 and not ended.limit:
            return
        self._stop.check()
        why = f"exit code: {ended.status}"
        if ended.limit:
            why = _LIMITS[ended.limit]
        raise BuildFailed(
            f"process {quoted(' '.join(run.arguments))} did not complete successfully: {why}",
            place=vertex.place,
            exit_status=ended.status,
            output=tail.decode(errors="replace"),
        )

    # ------------------------------------------------------------ mounts

    def _mount(
        self,
        wanted: MountOf,
        trees: Mapping[int, FileTree],
        folders: Mapping[int, tuple[Path, ...]],
        environment: dict[str, str],
        held: ExitStack,
    ) -> list[Mount]:
        mount = wanted.mount
        match mount:
            case BindMount():
                return [
                    Bind(
                        target=wanted.target,
                        lowers=self._shown(wanted, mount.source, trees, folders, held),
                        source=mount.source.strip("/"),
                        access="read" if mount.read_only else "discard",
                    )
                ]
            case CacheMount():
                source = held.enter_context(self._cache_folder(wanted, mount, trees))
                return [HostBind(target=wanted.target, source=source, writable=not mount.read_only)]
            case TmpfsMount():
                return [Tmpfs(target=wanted.target, size=mount.size, writable=not mount.read_only)]
            case SecretMount():
                return self._secret(wanted, mount, environment)
            case SshMount():
                return self._ssh(wanted, mount, held)
            case _:
                assert_never(mount)

    def _shown(
        self,
        wanted: MountOf,
        source: str,
        trees: Mapping[int, FileTree],
        folders: Mapping[int, tuple[Path, ...]],
        held: ExitStack,
    ) -> tuple[Path, ...]:
        """The folders that a bind mount shows: a stage's layers, or a context's files as a stage would have them."""
        if wanted.input < 0:
            return ()
        if wanted.input in folders:
            return folders[wanted.input]
        tree = trees[wanted.input]
        path = resolve_in(tree, source.strip("/"))
        node = tree.lookup(path)
        if node is None:
            raise BuildFailed(
                f'"/{source.strip("/")}": not found', hint="is it in the context, and not in .dockerignore"
            )
        copier = Copier(Growing(View((), None)), Ownership(), 0)
        copier.copy(tree, [path], f"/{source.strip('/')}", contents_only=True)
        folder = Path(held.enter_context(_temporary(self._cache)))
        lay_out(copier.entries(), folder, epoch_ns=1 << 62, stop=self._stop)
        return (folder,)

    @contextmanager
    def _cache_folder(self, wanted: MountOf, mount: CacheMount, trees: Mapping[int, FileTree]) -> Iterator[Path]:
        base = self._cache / "mounts" / hashlib.sha256(mount.id.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        base.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locks:
            name = "shared"
            if mount.sharing == "locked":
                locks.enter_context(locked(base / "lock"))
            elif mount.sharing == "private":
                number = 0
                while not locks.enter_context(locked(base / f"private-{number}.lock", wait=False)):
                    number += 1
                name = f"private-{number}" if number else "shared"
            folder = base / name
            with locked(base / "making"):
                if not folder.exists():
                    self._fill(folder, wanted, mount, trees)
            yield folder

    def _fill(self, folder: Path, wanted: MountOf, mount: CacheMount, trees: Mapping[int, FileTree]) -> None:
        """A new cache: empty, or with what `from` has; whole before it gets its name."""
        import tempfile

        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        os.chmod(new, _OPEN)
        if wanted.input >= 0:
            copier = Copier(Growing(View((), None)), Ownership(), 0)
            copier.copy(trees[wanted.input], [mount.source.strip("/")], "/", contents_only=True)
            lay_out(copier.entries(), new, epoch_ns=1 << 62, stop=self._stop)
        if not mount.source.strip("/"):  # a folder of `from` keeps the owner and mode that it has there
            if mount.mode is not None:
                os.chmod(new, mount.mode & 0o777)  # BuildKit makes the folder without special bits
            if (mount.uid or mount.gid) and os.geteuid() == 0:
                os.chown(new, mount.uid or 0, mount.gid or 0)
        new.rename(folder)

    def _secret(self, wanted: MountOf, mount: SecretMount, environment: dict[str, str]) -> list[Mount]:
        given = self._settings.secrets.get(mount.id)
        if given is None:
            if mount.required:
                raise BuildFailed(f"secret {mount.id}: not found", hint=f"give it with --secret id={mount.id},src=FILE")
            return []
        data = given.value
        if given.path is not None:
            try:
                data = given.path.read_bytes()
            except OSError as error:
                raise BuildFailed(f"secret {mount.id}: {given.path} cannot be read: {error.strerror}") from error
        if mount.env:
            environment[mount.env] = data.decode("utf-8", "surrogateescape")
        if not wanted.target:
            return []
        return [FileMount(target=wanted.target, data=data, mode=mount.mode, uid=mount.uid, gid=mount.gid)]

    def _ssh(self, wanted: MountOf, mount: SshMount, held: ExitStack) -> list[Mount]:
        given = self._settings.ssh.get(mount.id)
        if given is None:
            if mount.required:
                raise BuildFailed(f"no SSH key {mount.id!r} forwarded", hint=f"give an agent with --ssh {mount.id}")
            return []
        from pipeyard.image.build.sshagent import serving

        socket = held.enter_context(serving(given, self._cache, uid=mount.uid, gid=mount.gid, mode=mount.mode))
        return [HostBind(target=wanted.target, source=socket, writable=True)]


def _with_agents(mounts: Sequence[MountOf], environment: dict[str, str]) -> list[MountOf]:
    """Sockets that no target was said for get BuildKit's; the first of all is told in SSH_AUTH_SOCK."""
    found = []
    agents = 0
    for wanted in mounts:
        if isinstance(wanted.mount, SshMount):
            wanted = structs.replace(wanted, target=wanted.target or f"/run/buildkit/ssh_agent.{agents}")
            environment.setdefault("SSH_AUTH_SOCK", wanted.target)
            agents += 1
        found.append(wanted)
    return found


def created_by(run: RunCommand, tree: StackTree) -> tuple[int, int]:
    """Whom new files of a RUN belong to where the file system cannot tell."""
    identity = process_identity(run.user, tree)
    return identity.uid, identity.gid


def _network_files(run: RunCommand) -> Iterator[Mount]:
    hostname = run.hostname or "buildkitsandbox"
    lines = [f"127.0.0.1\tlocalhost {hostname}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{name}" for name, address in run.hosts]
    yield FileMount(target="/etc/hosts", data=("\n".join(lines) + "\n").encode())
    try:
        resolver = Path("/etc/resolv.conf").read_bytes()
    except OSError:
        resolver = b"nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    yield FileMount(target="/etc/resolv.conf", data=resolver)


def _needed_folders(folder: str, tree: StackTree, upper: Path) -> None:
    """Makes what a container runtime makes, and leaves in the layer, where an image has none.

    That is the working folder, which a base image may name and not have, and where /dev, /proc and /sys are mounted.
    """
    paths = [folder, *(resolve_in(tree, path) for path in ("dev", "proc", "sys"))]
    missing = [path for path in paths if tree.lookup(path) is None]
    if missing:
        copier = Copier(Growing(tree), Ownership(), 0)
        for path in missing:
            copier.make_folders(path)
        lay_out(copier.entries(), upper, epoch_ns=1 << 62)


@contextmanager
def _temporary(cache: Path) -> Iterator[str]:
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="shown-", dir=cache)
    os.chmod(folder, _OPEN)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_work(work: Path) -> None:
    """Overlayfs's own folder, in which it leaves what it has renamed away, and one without permissions."""
    try:
        work.rmdir()
    except OSError:
        pass  # a sandbox that could not clear it
    else:
        return
    import shutil

    for inner in work.iterdir():
        os.chmod(inner, 0o700)
    shutil.rmtree(work, ignore_errors=True)
