"""What a build is asked for, what it may use, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from msgspec import Struct, field

from pipeyard.oci import Descriptor, Digest, ImageConfig, ImageManifest, Platform
from pipeyard.progress import Observer, ignore
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.exchange import Destination, ImageOrigin, Published
from pipeyard.registry.reference import Reference
from pipeyard.threads import StopSignal

if TYPE_CHECKING:
    from pipeyard.image.sandbox import Sandbox

Network = Literal["default", "host", "none"]


class Secret(Struct, frozen=True, kw_only=True):
    """A secret that `RUN --mount=type=secret` may see: the content itself, or a file that is read when it is needed."""

    value: bytes = b""
    path: Path | None = None


class SshAgent(Struct, frozen=True):
    """What `RUN --mount=type=ssh` may use: one socket of an agent, or files of private keys.

    `raw`: the socket as it is; otherwise a RUN may list keys and have them sign, and nothing else.
    """

    paths: tuple[Path, ...]
    raw: bool = False


class Limits(Struct, frozen=True, kw_only=True):
    """What one RUN may use; 0 is unlimited."""

    memory: int = 0  # bytes
    processes: int = 0
    time_s: float = 0
    shared_memory: int = 0  # bytes of /dev/shm
    ulimits: Mapping[str, tuple[int, int]] = {}  # name -> soft and hard limit of a process; -1 is unlimited


class Provenance(Struct, frozen=True, kw_only=True):
    """How much is told of how the image came to be; `max` tells arguments, and the Dockerfile itself."""

    mode: Literal["min", "max"] = "max"
    builder_id: str = ""  # a URL of the build
    reproducible: bool = False  # the user's word for it


class ContextOrigin(Struct, frozen=True):
    """Where a context was fetched from, which makes it one that others can fetch, too."""

    uri: str  # of git with `#REF:SUBFOLDER`
    digest: str  # `sha1:` or `sha256:` of a commit, `sha256:` of an archive


class BuildRequest(Struct, frozen=True, kw_only=True):
    """One image to build. Equal requests over equal files give equal digests.

    `context` is a local folder; None builds without one (a Dockerfile alone). `dockerfile` is a file, default
    `Dockerfile` in the context; `dockerfile_text` goes before it. `contexts` are named contexts: a folder,
    `docker-image://REF`, `oci-layout://FOLDER[:TAG]`, `target:STAGE`, a git or http(s) URL.

    `epoch_s` is the image's time (`created`, history), in a pipeline the commit's. Times of files in layers clamp to
    `files_epoch_s`: it is a constant by default, so that a commit that changes nothing of a layer leaves its digest
    alone. The build argument SOURCE_DATE_EPOCH sets both.
    """

    context: Path | None = None
    dockerfile: Path | None = None
    dockerfile_text: bytes | None = None
    target: str = ""
    arguments: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}  # `[index:|manifest:]KEY` -> value
    contexts: Mapping[str, str] = {}
    platforms: tuple[Platform, ...] = ()  # empty: this machine's
    secrets: Mapping[str, Secret] = {}
    ssh: Mapping[str, SshAgent] = {}
    epoch_s: int = 0
    files_epoch_s: int = 0
    compression: Literal["gzip", "zstd"] = "gzip"
    network: Network = "default"
    add_hosts: Mapping[str, str] = {}  # name -> address
    hostname: str = ""
    insecure: bool = False  # `RUN --security=insecure` may be carried out
    host_network: bool = False  # and `RUN --network=host`
    limits: Limits = Limits()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()  # stage names
    cache_from: tuple[Reference, ...] = ()  # caches or images with an inline cache; a missing one is only told
    inline_cache: bool = False  # the image itself carries the keys of its layers
    provenance: Provenance | None = None
    sbom: bool = False
    context_origin: ContextOrigin | None = None  # for the provenance; None: a folder of this machine
    vcs: Mapping[str, str] = {}  # likewise the `source` and `revision` that somebody says the folder is of


class Publication(Struct, frozen=True, kw_only=True):
    """One place that receives the image, under these tags (none: by its digest alone).

    `cache`: it receives the build's cache instead, for `cache_from` of other builds: that of the image's own steps
    (min), or also that of the stages which are in no image (max).
    """

    destination: Destination
    tags: tuple[str, ...] = ()
    cache: Literal["", "min", "max"] = ""


class BuildParts(Struct, frozen=True, kw_only=True):
    """Everything with a side effect that a build may use. Safe to share between builds in threads and processes.

    `cache` is the build cache's folder. `sandbox` makes one
    over a folder of its own when the first RUN has to be carried out. `clone` fetches a
    git repository at a reference into an empty folder and gives the commit: the image room knows no git. `bill` makes
    the SPDX document of a finished image.
    """

    store: BlobStore
    cache: Path
    origin: ImageOrigin
    sandbox: "Callable[[Path], Sandbox] | None" = None
    publications: Sequence[Publication] = ()
    clone: Callable[[str, str, Path, bool], str] | None = None  # remote, reference, folder, keep .git
    bill: "Callable[[BuiltPlatform], bytes] | None" = None
    observe: Observer = ignore
    stop: StopSignal = field(default_factory=StopSignal)
    now_s: Callable[[], float] = lambda: 0.0
    threads: int = 2
    cache_limit: int = 0  # bytes that the cache is pruned to afterwards; 0: not pruned


class BuiltLayer(Struct, frozen=True, kw_only=True):
    """A layer of the image; `open` reads its blob from a byte onwards, from wherever it is."""

    descriptor: Descriptor
    diff_id: Digest
    open: Callable[[int], AbstractContextManager[BinaryIO]]


class BuiltAttestation(Struct, frozen=True, kw_only=True):
    """What is attested of an image: a manifest, and its blobs with their contents."""

    descriptor: Descriptor
    data: bytes
    blobs: tuple[tuple[Descriptor, bytes], ...]


class BuiltPlatform(Struct, frozen=True, kw_only=True):
    """The image of one platform. Its blobs are in the store, but for base layers that nothing had to read."""

    platform: Platform
    descriptor: Descriptor
    manifest: ImageManifest
    manifest_data: bytes
    config: ImageConfig
    config_data: bytes
    layers: tuple[BuiltLayer, ...]
    attestation: BuiltAttestation | None = None


class Built(Struct, frozen=True, kw_only=True):
    """The finished image. `root` is a manifest, or the index when there are several platforms or attestations."""

    root: Descriptor
    root_data: bytes
    platforms: tuple[BuiltPlatform, ...]
    published: tuple[Published, ...] = ()
    steps: int = 0
    cached_steps: int = 0

    @property
    def digest(self) -> Digest:
        return self.root.digest

    @property
    def is_index(self) -> bool:
        return self.root.digest != self.platforms[0].descriptor.digest

    @property
    def config_digest(self) -> Digest:
        return self.platforms[0].manifest.config.digest
