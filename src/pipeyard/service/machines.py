"""Where builds of buildspecs run: an image's file system in the sandbox that RUN uses, or this machine's own root."""

import os
import posixpath
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree, which

from msgspec import Struct

from pipeyard.buildspec.contract import BuildTimedOut, Job, Output
from pipeyard.errors import InputError
from pipeyard.image.build.cache import BuildCache
from pipeyard.image.build.folders import BaseLayers, materialized
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.layers import form_of_this_process
from pipeyard.image.layers.stack import resolve_links
from pipeyard.image.sandbox import (
    DEFAULT_PATH,
    Command,
    FileMount,
    HostBind,
    Limits,
    Mount,
    Root,
    Sandbox,
    open_sandbox,
)
from pipeyard.oci.platforms import native
from pipeyard.progress import Observer, ignore
from pipeyard.registry.exchange import ImageOrigin
from pipeyard.registry.reference import Reference
from pipeyard.service.images import Images
from pipeyard.threads import Stop

_HOSTNAME = "codebuild"
# Of this machine's root: what the sandbox makes itself, and where sockets of services lie.
_NOT_SHOWN = frozenset({"proc", "sys", "dev", "tmp", "run", "codebuild", "lost+found", "boot", "root"})


class SandboxMachine(Struct, frozen=True, kw_only=True):
    """A Machine. What jobs write outside of their shared folders is thrown away after each of them."""

    name: str
    environment: dict[str, str]
    lowers: tuple[Path, ...]
    mounts: tuple[Mount, ...]
    sandbox: Sandbox
    scratch: Path
    programs: "StackTree | None" = None  # None: this machine's own
    insecure: bool = False

    def finds(self, program: str) -> bool:
        path = self.environment.get("PATH", DEFAULT_PATH)
        if self.programs is None:
            return which(program, path=path) is not None
        tree = self.programs

        def link(at: str) -> str | None:
            node = tree.lookup(at)
            return node.link if node is not None and node.kind == "symlink" else None

        for folder in path.split(":"):
            try:
                found = tree.lookup(resolve_links(posixpath.join(folder, program).lstrip("/"), link))
            except OSError:
                continue
            if found is not None and found.kind == "file":
                return True
        return False

    def run(self, job: Job, output: Output, stop: Stop) -> int:
        root = self.scratch / uuid.uuid4().hex
        upper, work = root / "upper", root / "work"
        try:
            upper.mkdir(parents=True)
            work.mkdir()
            bound = [HostBind(target=each.target, source=each.source, writable=each.writable) for each in job.bound]
            ended = self.sandbox.run(
                Command(
                    arguments=job.arguments,
                    environment=job.environment,
                    folder=job.folder,
                    hostname=_HOSTNAME,
                    insecure=self.insecure,
                ),
                Root(lowers=self.lowers, upper=upper, work=work),
                mounts=(*self.mounts, *sorted(bound, key=lambda one: one.target.count("/"))),
                limits=Limits(seconds=job.seconds),
                output=output,
                stop=stop,
            )
        finally:
            rmtree(root, ignore_errors=True)
        if ended.limit == "seconds":
            raise BuildTimedOut(f"the build took longer than {job.seconds:.0f} seconds")
        return ended.status


@contextmanager
def image_machine(
    images: Images, reference: Reference, origin: ImageOrigin, stop: Stop, observe: Observer = ignore
) -> Iterator[SandboxMachine]:
    """A machine on an image's file system, for the block; its layers stay unpacked in the build cache.

    Raises InputError when there is no such image, RegistryError, SandboxError.
    """
    image = origin.resolve(reference, native())
    home = images.settings.home
    cache = BuildCache(home / "cache", form_of_this_process().powers)
    with images.store.lease(), cache.lease():
        layers = BaseLayers(images.store, origin, cache, observe, stop)
        lowers = materialized(layers.file_system(image, image.descriptor.digest))
        config = image.config.config
        told = dict(entry.partition("=")[::2] for entry in (config.env if config else None) or ())
        yield SandboxMachine(
            name=str(reference),
            environment={"PATH": DEFAULT_PATH, "HOME": "/root", **told},
            lowers=lowers,
            mounts=_network_files(),
            sandbox=open_sandbox(home / "cache" / "sandbox"),
            scratch=home / "work",
            programs=StackTree(lowers),
        )


def host_machine(home: Path, environ: Mapping[str, str], user_home: Path) -> SandboxMachine:
    """A machine on this one's own programs and files, read-only. HOME is an empty folder.

    `user_home`: an empty folder that stands for the user's home, so that no key or token of theirs is seen.
    """
    sandbox = open_sandbox(home / "cache" / "sandbox")
    if sandbox.name != "bubblewrap":
        raise InputError(
            "the environment `host` needs namespaces, which this machine forbids", hint="name an image instead"
        )
    mounts: list[Mount] = []
    mounts += [
        HostBind(target=f"/{entry.name}", source=Path(entry.path))
        for entry in sorted(os.scandir("/"), key=lambda one: one.name)
        if entry.name not in _NOT_SHOWN and (entry.is_dir() or entry.is_file())
    ]
    resolver = Path(os.path.realpath("/etc/resolv.conf"))
    if resolver.is_relative_to("/run") and resolver.exists():
        mounts.append(HostBind(target=str(resolver), source=resolver))
    told = Path(environ.get("HOME", "") or "/root")
    if told.is_dir() and told != Path("/"):
        mounts.append(HostBind(target=str(told), source=user_home, writable=True))
        mounts += [HostBind(target=str(told / name), source=told / name) for name in _tool_folders(told)]
    return SandboxMachine(
        name="host",
        environment={
            "PATH": environ.get("PATH") or DEFAULT_PATH,
            "HOME": str(told),
            "LANG": environ.get("LANG", "C.UTF-8"),
        },
        lowers=(),
        mounts=tuple(mounts),
        sandbox=sandbox,
        scratch=home / "work",
    )


def _tool_folders(home: Path) -> Iterator[str]:
    """Version managers that people keep in their home: without them, the programs in PATH would not start."""
    for name in (".pyenv", ".nvm", ".rbenv", ".sdkman", ".asdf", ".cargo/bin", ".rustup", ".local/bin", "go", ".volta"):
        if (home / name).is_dir():
            yield name


def _network_files() -> tuple[Mount, ...]:
    try:
        resolver = Path("/etc/resolv.conf").read_bytes()
    except OSError:
        resolver = b""
    hosts = f"127.0.0.1\tlocalhost {_HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n".encode()
    return (FileMount(target="/etc/hosts", data=hosts), FileMount(target="/etc/resolv.conf", data=resolver))
