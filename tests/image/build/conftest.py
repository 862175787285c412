"""A builder over a content store in a temporary folder, with a base image made of this machine's busybox."""

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.image.build import BuildParts, BuildRequest, Built, Publication, build_image
from pipeyard.image.layers import Entry, layer_order, read_entries
from pipeyard.image.sandbox import Sandbox, SandboxError, open_sandbox
from pipeyard.progress import Report, StepEnded, StepStarted
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.store import ContentStore
from pipeyard.threads import StopSignal

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
Files = Mapping[str, str | bytes]


class Yard:
    """One pipeyard home, and a context folder to build from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.context = root / "context"
        self.context.mkdir()
        self.store = ContentStore(root / "home" / "registry")
        self.cache = root / "home" / "cache"
        self.reports: list[Report] = []
        self.sandboxes = 0

    def write(self, files: Files) -> None:
        for name, content in files.items():
            path = self.context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            os.utime(path, (1_600_000_000, 1_600_000_000))

    def build(
        self,
        dockerfile: str,
        files: Files | None = None,
        *,
        name: str = "app",
        tags: tuple[str, ...] = (),
        **wishes: Any,
    ) -> Built:
        self.write(files or {})
        self.reports.clear()
        destination = StoreDestination(self.store, name)
        parts = wishes.pop("parts", {})
        try:
            return build_image(
                BuildRequest(
                    context=self.context, dockerfile_text=dockerfile.encode("utf-8", "surrogateescape"), **wishes
                ),
                BuildParts(
                    store=self.store,
                    cache=self.cache,
                    origin=parts.pop("origin", None) or StoreOrigin(self.store),
                    sandbox=self._sandbox,
                    publications=[
                        *([Publication(destination=destination, tags=tags)] if tags else []),
                        *parts.pop("publications", ()),
                    ],
                    observe=self.reports.append,
                    stop=StopSignal(),
                    **parts,
                ),
            )
        finally:
            destination.close()

    def _sandbox(self, folder: Path) -> Sandbox:
        self.sandboxes += 1
        return open_sandbox(folder)

    @property
    def carried_out(self) -> list[str]:
        """Titles of the steps that were not in the cache."""
        titles = {report.step: report.title for report in self.reports if isinstance(report, StepStarted)}
        ended = [report.step for report in self.reports if isinstance(report, StepEnded) and not report.cached]
        return [titles[step].partition("] ")[2] for step in ended if titles[step].startswith("[")]


def entries_of(built: Built, layer: int = -1) -> list[Entry]:
    """The entries of one layer, contents as bytes."""
    with built.platforms[0].layers[layer].open(0) as stream:
        return [_read(entry) for entry in read_entries(stream.read)]


def _read(entry: Entry) -> Entry:
    from msgspec import structs

    if entry.kind != "file" or isinstance(entry.content, bytes | str):
        return entry
    with entry.content() as stream:
        return structs.replace(entry, content=stream.read())


def files_of(built: Built) -> dict[str, Entry]:
    """All that the layers put somewhere, later layers over earlier ones; for images without whiteouts."""
    found: dict[str, Entry] = {}
    for layer in range(len(built.platforms[0].layers)):
        found.update((entry.path, entry) for entry in entries_of(built, layer))
    return dict(sorted(found.items(), key=lambda item: layer_order(item[1])))


def content_of(built: Built, path: str) -> bytes:
    found = files_of(built)[path].content
    assert isinstance(found, bytes)
    return found


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def runs(tmp_path: Path) -> None:
    """Skips where this machine allows no sandbox at all."""
    try:
        open_sandbox(tmp_path / "can-run")
    except (SandboxError, PipeyardError) as error:
        pytest.skip(f"no sandbox here: {error.message}")


@pytest.fixture
def busybox(yard: Yard, tmp_path: Path, runs: None) -> str:
    """The reference of an image with a shell, /etc/passwd and a few folders."""
    if not os.path.exists(BUSYBOX):
        pytest.skip("there is no busybox to make a base image of")
    root = tmp_path / "base"
    root.mkdir()
    with tarfile.open(root / "root.tar", "w") as tar:
        add = _adder(tar)
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("srv/data", 0o750)):
            add(folder, tarfile.DIRTYPE, mode, b"")
        with open(BUSYBOX, "rb") as program:
            add("bin/busybox", tarfile.REGTYPE, 0o755, program.read())
        for applet in (
            "sh",
            "cat",
            "ls",
            "mkdir",
            "rm",
            "echo",
            "id",
            "env",
            "true",
            "false",
            "test",
            "chmod",
            "sleep",
        ):
            add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, b"busybox")
        add("srv/link", tarfile.SYMTYPE, 0o777, b"data")
        add("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\napp:x:1000:\nextra:x:2001:app\n")
    yard.write({"root.tar": (root / "root.tar").read_bytes()})
    yard.build(
        'FROM scratch\nADD root.tar /\nENV ORIGIN=base\nCMD ["sh"]\nONBUILD RUN echo triggered > /triggered\n',
        name="onbuild", tags=("latest",),
    )  # fmt: skip
    yard.build('FROM scratch\nADD root.tar /\nENV ORIGIN=base\nCMD ["sh"]\n', name="base", tags=("latest",))
    (yard.context / "root.tar").unlink()
    return "example.com/base"


def _adder(tar: tarfile.TarFile) -> Callable[[str, bytes, int, bytes], None]:
    import io

    def add(name: str, kind: bytes, mode: int, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.mode = kind, mode
        if kind == tarfile.SYMTYPE:
            member.linkname = content.decode()
            tar.addfile(member)
        else:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    return add
