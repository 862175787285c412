"""The contract between the engine and a provider: everything resolved goes in, everything worth keeping comes out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from pipeyard.buildspec.contract import Build, BuildWish
from pipeyard.definition.model import ActionTypeId, CodeBuildProject, Definition, EnvironmentVariable, OutputArtifact
from pipeyard.progress import Observer
from pipeyard.source import GitOrigin
from pipeyard.threads import Stop


class Artifact(Struct, frozen=True, kw_only=True):
    """An artifact in the artifact store: `location` is opaque to everybody but that store."""

    name: str
    location: str
    revision: str = ""  # a source's revision: a commit id, a version id, a digest
    revision_summary: str = ""
    created_s: int = 0  # the revision's own time in Unix seconds; images made from it clamp to it


class ActionRequest(Struct, frozen=True, kw_only=True):
    """Everything resolved: there is no #{...} left in it."""

    action_execution_id: str  # the same after a crash: use it as idempotency key
    pipeline_execution_id: str
    pipeline: str
    stage: str
    action: str
    type_id: ActionTypeId
    configuration: dict[str, str]
    commands: Sequence[str] = ()
    environment_variables: Sequence[EnvironmentVariable] = ()
    output_variables: Sequence[str] = ()  # names that a Commands action exports
    region: str = ""
    timeout_s: int | None = None
    inputs: dict[str, Artifact]
    outputs: Sequence[OutputArtifact] = ()
    definition: Definition  # what surrounds the pipeline: repositories, projects, connections
    source_revision: str = ""  # the revision that this execution was started for; empty: the newest
    source_revision_type: str = ""  # the API's word for what that is: COMMIT_ID, IMAGE_DIGEST, S3_OBJECT_KEY, ...


class Published(Struct, frozen=True, kw_only=True):
    """An image that an action published."""

    repository: str
    tags: list[str]
    digest: str
    size: int
    references: list[str]


class ActionResult(Struct, frozen=True, kw_only=True):
    outputs: dict[str, Artifact] = {}
    variables: dict[str, str] = {}
    summary: str = ""
    published: list[Published] = []
    external_url: str = ""


class ImageBuild(Struct, frozen=True, kw_only=True):
    """An image to be built from a folder and published under tags of a repository, all tags or none."""

    context: Path
    dockerfile: Path  # within the context
    repository: str
    tags: Sequence[str]
    registry_type: str = "private"  # or public
    epoch_s: int = 0  # times in the image clamp to it
    step: str = ""  # the step that the build's own steps belong to


class SourceImage(Struct, frozen=True, kw_only=True):
    """What a tag of a repository names, as far as the registry tells."""

    registry_id: str  # the account in ECR; of other registries the host
    repository: str
    name: str  # host and repository, as one would pull it
    tag: str
    uri: str  # the image as one would pull it
    digest: str
    size: int | None  # bytes, of an index those of its largest image; None: unknown
    tags: tuple[str, ...]  # all that are known to name this digest
    pushed_ms: int = 0  # 0: unknown


class SourceObject(Struct, frozen=True, kw_only=True):
    """An object of S3 that was fetched, or of what stands for it."""

    etag: str  # without quotes
    version_id: str  # null, as S3 has it, where nothing is versioned
    modified_s: int


class Artifacts(Protocol):
    """The artifact store as one action sees it."""

    def keep(self, name: str, folder: Path, *, revision: str = "", summary: str = "", created_s: int = 0) -> Artifact:
        """Stores a folder's content; the folder may be consumed (moved)."""

    def folder(self, artifact: Artifact) -> Path:
        """The artifact's content as a folder to read from; not to be written to."""


class Tools(Protocol):
    """What an action may use: handed in by `service`, replaced in tests."""

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def observe(self) -> Observer: ...

    @property
    def stop(self) -> Stop: ...

    @property
    def workspace(self) -> Path:
        """Empty, this action's alone, removed afterwards."""

    @property
    def git_mirrors(self) -> Path:
        """Where fetched git repositories are kept between runs."""

    def git_origin(self, request: ActionRequest, repository: str, connection_arn: str, branch: str) -> GitOrigin:
        """The git repository that stands for `owner/name` on a connection. Raises InputError when none does."""

    def find_image(self, request: ActionRequest, repository: str, tag: str) -> SourceImage:
        """The image that stands for a repository's tag, or for the digest that the execution was started for.

        Raises InputError when there is none, RegistryError.
        """

    def fetch_object(
        self, request: ActionRequest, *, bucket: str, key: str, version: str, folder: Path
    ) -> SourceObject:
        """Writes an object's files into `folder`: of a ZIP what is in it, else the file. An empty version: the newest.

        Raises InputError when there is none.
        """

    def publish_image(self, build: ImageBuild) -> Published:
        """Builds, then publishes to wherever this execution publishes."""

    def run_build(self, wish: BuildWish, step: str) -> Build:
        """Runs a buildspec; images that it pushes to ECR go to wherever this execution publishes.

        What it reports belongs to `step`; the folders of its artifacts are the caller's, to be moved away.
        """

    def project(self, name: str) -> CodeBuildProject | None:
        """A CodeBuild project that the settings declare."""


class Action(Protocol):
    """A provider. May run again from the start after a crash; must leave the same world as one run."""

    @property
    def type_id(self) -> ActionTypeId: ...

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        """Complaints about a declared configuration, before anything runs; #{...} may stand in any value."""

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        """Raises ActionFailed (or another PipeyardError) when it did not work out, Stopped when stopped."""
