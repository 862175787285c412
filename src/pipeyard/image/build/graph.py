"""The plan of a build: vertices that say what to do, and nothing about how.

A vertex is either a file system (a stack of layers that grows by one with each step) or files to take from (a folder of
the client, a git commit, a download). What it does, `operation`, defines it together with its inputs; title and place
only describe it and are in no key.
"""

from collections.abc import Container

from msgspec import Struct

from pipeyard.errors import Place, Problem
from pipeyard.image.dockerfile.instructions import Mount
from pipeyard.oci import ImageConfig, Platform
from pipeyard.registry.exchange import ResolvedImage


class Scratch(Struct, frozen=True, tag=True):
    """A file system without files."""


class BaseImage(Struct, frozen=True, kw_only=True, tag=True):
    """The file system of an image that exists already."""

    image: ResolvedImage


class ContextFiles(Struct, frozen=True, kw_only=True, tag=True):
    """A local folder by its name: "" is the build context, any other a named one."""

    name: str = ""


class GitFiles(Struct, frozen=True, kw_only=True, tag=True):
    """A commit's files. `subfolder` is relative; `checksum` a commit id or a beginning of one."""

    remote: str
    reference: str = ""
    subfolder: str = ""
    checksum: str = ""
    keep_git: bool = False


class Download(Struct, frozen=True, kw_only=True, tag=True):
    """One file called `name`, or the one that the server names when that is empty."""

    url: str
    name: str
    checksum: str = ""


class InlineFiles(Struct, frozen=True, kw_only=True, tag=True):
    """A heredoc of COPY or ADD as a file."""

    name: str
    content: bytes


class CopySource(Struct, frozen=True, kw_only=True):
    """One source of a copy. `input` is the position among the vertex's inputs; `path` may hold wildcards.

    `include` are the patterns of `--parents`, relative to `path`; `required` must exist, or the copy fails.
    """

    input: int
    path: str
    include: tuple[str, ...] = ()
    required: str = ""
    wildcards: bool = True
    contents_only: bool = True  # of a folder, as COPY does; ADD of a git commit keeps the same rule
    unpack: bool = False


class CopyFiles(Struct, frozen=True, kw_only=True, tag=True):
    """COPY and ADD onto input 0. `destination` is absolute and keeps its trailing slash, or "/."."""

    sources: tuple[CopySource, ...]
    destination: str
    owner: str = ""
    mode: str = ""
    exclude: tuple[str, ...] = ()
    link: bool = False


class MakeFolder(Struct, frozen=True, kw_only=True, tag=True):
    """WORKDIR onto input 0: the folder and its missing parents, with `owner` as in USER."""

    path: str
    owner: str = ""


class MountOf(Struct, frozen=True, kw_only=True):
    """A mount of a RUN; `input` is the position of what it shows among the vertex's inputs, -1 for nothing."""

    mount: Mount
    target: str  # absolute
    input: int = -1


class RunCommand(Struct, frozen=True, kw_only=True, tag=True):
    """RUN on input 0. `script` is a file that is shown at /dev/pipes/NAME while the command runs."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    folder: str
    user: str
    network: str
    insecure: bool = False
    mounts: tuple[MountOf, ...] = ()
    script: tuple[str, str] | None = None
    hostname: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    platform: str = ""


Operation = Scratch | BaseImage | ContextFiles | GitFiles | Download | InlineFiles | CopyFiles | MakeFolder | RunCommand


class Vertex(Struct, frozen=True, kw_only=True):
    operation: Operation
    inputs: tuple[int, ...] = ()  # positions in the graph, all smaller than this vertex's own
    title: str = ""
    place: Place | None = None
    proxy: tuple[tuple[str, str], ...] = ()  # environment that no key depends on
    uncached: bool = False  # --no-cache
    step: bool = True  # shown to people as a step of the Dockerfile


FILE_SYSTEMS = (Scratch, BaseImage, CopyFiles, MakeFolder, RunCommand)


class Graph(Struct, frozen=True, kw_only=True):
    """`target` is the file system of the image; `config` is the image's, but for its root file system and times.

    The first `base_history` entries of its history, and as many layers as `base` has, are the base image's own.
    """

    vertices: tuple[Vertex, ...]
    target: int
    config: ImageConfig
    platform: Platform
    base: ResolvedImage | None = None
    base_history: int = 0
    epoch_s: int | None = None  # SOURCE_DATE_EPOCH of the Dockerfile's own arguments
    problems: tuple[Problem, ...] = ()

    def chain(self, number: int) -> list[int]:
        """The vertices whose layers make up a file system, the lowest first."""
        found = [number]
        while self.vertices[number].inputs and isinstance(self.vertices[number].operation, FILE_SYSTEMS):
            number = self.vertices[number].inputs[0]
            found.append(number)
        return found[::-1]

    def reachable(self) -> set[int]:
        """The target, and everything that it is made of."""
        return self.needed(frozenset())

    def needed(self, known: Container[int]) -> set[int]:
        """What the target needs when the results of some vertices are `known`: of these, only what they stand on."""
        found: set[int] = set()
        waiting = [self.target]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                inputs = self.vertices[number].inputs
                waiting += inputs[:1] if number in known else inputs
        return found
