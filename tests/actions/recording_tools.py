"""Tools for actions under test: real artifacts in a folder; images are noted, not built."""

from pathlib import Path

from msgspec import Struct, field, structs

from pipeyard.actions.contract import ActionRequest, Artifact, ImageBuild, Published, SourceImage, SourceObject
from pipeyard.artifacts import FolderArtifacts
from pipeyard.buildspec.contract import Build, BuildOutcome, BuildWish
from pipeyard.definition.model import CodeBuildProject
from pipeyard.progress import Report
from pipeyard.service.toolbox import ActionArtifacts
from pipeyard.source import GitOrigin
from pipeyard.threads import StopSignal


class RecordingTools(Struct):
    root: Path
    origin: GitOrigin = GitOrigin("")
    owner: str = "action-1"
    reports: list[Report] = field(default_factory=list)
    image: SourceImage | None = None
    object: SourceObject = SourceObject(etag="e" * 32, version_id="v1", modified_s=7)
    builds: list[ImageBuild] = field(default_factory=list)
    wishes: list[BuildWish] = field(default_factory=list)
    build: Build = Build(outcome=BuildOutcome(status="SUCCEEDED", phases=()))
    projects: dict[str, CodeBuildProject] = field(default_factory=dict)
    stop: StopSignal = field(default_factory=StopSignal)

    @property
    def artifacts(self) -> ActionArtifacts:
        return ActionArtifacts(FolderArtifacts(self.root / "artifacts"), self.owner)

    def observe(self, report: Report) -> None:
        self.reports.append(report)

    @property
    def workspace(self) -> Path:
        folder = self.root / "workspace"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def git_mirrors(self) -> Path:
        return self.root / "git"

    def git_origin(self, request: ActionRequest, repository: str, connection_arn: str, branch: str) -> GitOrigin:
        return self.origin if self.origin.ref else GitOrigin(self.origin.location, branch)

    def find_image(self, request: ActionRequest, repository: str, tag: str) -> SourceImage:
        assert self.image is not None
        return structs.replace(self.image, repository=repository, tag=tag)

    def fetch_object(
        self, request: ActionRequest, *, bucket: str, key: str, version: str, folder: Path
    ) -> SourceObject:
        (folder / key).write_text(version)
        return self.object

    def publish_image(self, build: ImageBuild) -> Published:
        self.builds.append(build)
        name = f"registry.example.com/{build.repository}"
        return Published(
            repository=name,
            tags=list(build.tags),
            digest="sha256:" + "0" * 64,
            size=1,
            references=[f"{name}:{tag}" for tag in build.tags],
        )

    def run_build(self, wish: BuildWish, step: str) -> Build:
        self.wishes.append(wish)
        return self.build

    def project(self, name: str) -> CodeBuildProject | None:
        return self.projects.get(name)

    def keep(self, name: str, files: dict[str, str], created_s: int = 0) -> Artifact:
        """An input artifact with these files."""
        folder = self.root / f"making-{name}"
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return self.artifacts.keep(name, folder, created_s=created_s)
