"""What one action may use while it is performed: its workspace, its artifacts, sources and images."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pipeyard.actions.contract import ActionRequest, Artifact, ImageBuild, Published, SourceImage, SourceObject
from pipeyard.artifacts import FolderArtifacts
from pipeyard.buildspec.contract import Build, BuildWish
from pipeyard.definition.model import CodeBuildProject
from pipeyard.errors import InputError
from pipeyard.progress import Observer, within
from pipeyard.service.choices import Choices
from pipeyard.service.images import Images
from pipeyard.service.projects import Projects, no_projects, project_of_settings
from pipeyard.settings import Settings
from pipeyard.source import GitOrigin, parse_origin
from pipeyard.threads import StopSignal

if TYPE_CHECKING:
    from pipeyard.image.build import Limits


class ActionArtifacts(Struct, frozen=True):
    """The artifact store as one action execution sees it: what it keeps is kept under its id."""

    store: FolderArtifacts
    owner: str

    def keep(self, name: str, folder: Path, *, revision: str = "", summary: str = "", created_s: int = 0) -> Artifact:
        stored = self.store.keep(self.owner, name, folder)
        return Artifact(
            name=name, location=stored.location, revision=revision, revision_summary=summary, created_s=created_s
        )

    def folder(self, artifact: Artifact) -> Path:
        return self.store.folder(artifact.location)


class Toolbox:
    """The Tools of one action execution."""

    def __init__(
        self,
        *,
        settings: Settings,
        images: Images,
        artifacts: ActionArtifacts,
        workspace: Path,
        choices: Choices,
        observe: Observer,
        stop: StopSignal,
        environ: Mapping[str, str],
        projects: Projects = no_projects,
    ) -> None:
        self.settings = settings
        self.artifacts = artifacts
        self.observe = observe
        self.stop = stop
        self.workspace = workspace
        self.git_mirrors = settings.home / "git"
        self._images = images
        self._environ = environ
        self._projects = projects
        self._choices = choices

    def git_origin(self, request: ActionRequest, repository: str, connection_arn: str, branch: str) -> GitOrigin:
        """Chosen for the execution, else by the settings' connections; the action's branch where none was told."""
        text = self._choices.sources.get(request.action)
        if text is None:
            connections = self.settings.connections
            text = connections.get(repository) or connections.get(connection_arn)
        if text is None:
            raise InputError(
                f"nothing stands for the repository {repository}",
                hint=f'set connections."{repository}" in pipeyard.toml to a git repository\'s folder or URL',
            )
        origin = parse_origin(text, self.settings.home)  # absolute: chosen or anchored before
        return origin if origin.ref else GitOrigin(origin.location, branch)

    def find_image(self, request: ActionRequest, repository: str, tag: str) -> SourceImage:
        from pipeyard.service.source_images import find_source_image, source_reference

        given = self._choices.images.get(request.action, "")
        reference = source_reference(self._images, self._choices.publish, repository, given)
        return find_source_image(
            self._images, reference, tag, request.source_revision, action=request.action, stop=self.stop
        )

    def fetch_object(
        self, request: ActionRequest, *, bucket: str, key: str, version: str, folder: Path
    ) -> SourceObject:
        from pipeyard.service.buckets import Buckets, copy_object
        from pipeyard.service.ecr import session_clients

        if chosen := self._choices.objects.get(request.action):
            return copy_object(Path(chosen), folder)
        buckets = Buckets(self.settings, lambda: session_clients()("s3", request.region))
        try:
            return buckets.fetch_object(bucket, key, version, folder)
        except InputError as error:
            error.hint = f"{error.hint}, or give --source {request.action}=FILE"
            raise

    def publish_image(self, build: ImageBuild) -> Published:
        from pipeyard.image.build import BuildRequest, Publication

        observe = within(self.observe, build.step) if build.step else self.observe
        destination = self._images.destination(
            self._choices.publish,
            build.repository,
            registry_type=build.registry_type,
            stop=self.stop,
            observe=observe,
            step="publish",
        )
        try:
            built = self._images.build(
                BuildRequest(
                    context=build.context, dockerfile=build.dockerfile, epoch_s=build.epoch_s, limits=self._limits()
                ),
                [Publication(destination=destination, tags=tuple(build.tags))],
                observe,
                self.stop,
            )
        finally:
            destination.close()
        (published,) = built.published
        return Published(
            repository=published.repository,
            tags=list(published.tags),
            digest=published.digest,
            size=published.size,
            references=list(published.references),
        )

    def _limits(self) -> "Limits":
        """A pipeline's Dockerfile is somebody else's: it may use much of this machine, but not all of it for ever."""
        from pipeyard.image.build import Limits

        memory = self.settings.run_memory_mb * 1_000_000
        if not memory:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10
        return Limits(memory=memory, processes=self.settings.run_processes, time_s=self.settings.run_minutes * 60)

    def run_build(self, wish: BuildWish, step: str) -> Build:
        from pipeyard.service.builds import Builds

        observe = within(self.observe, step)
        wanted = structs.replace(wish, publish=self._choices.publish)
        return Builds(self._images, self._environ).run(wanted, self.workspace / "build", observe, self.stop)

    def project(self, name: str) -> CodeBuildProject | None:
        return project_of_settings(self.settings, name) or self._projects(name)


@contextmanager
def workspace(home: Path, action_execution_id: str) -> Iterator[Path]:
    """An empty folder for one action; what an earlier, killed run left in it is gone."""
    folder = home / "work" / action_execution_id
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
