"""A build of a CodeBuild project on its own: its sources are fetched, it runs, its artifacts are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from pipeyard.buildspec.contract import Build, BuildWish
from pipeyard.buildspec.model import Batch
from pipeyard.errors import InputError
from pipeyard.progress import Observer, Warned
from pipeyard.service.buckets import Buckets, StoredObject
from pipeyard.service.builds import Builds
from pipeyard.settings import Settings
from pipeyard.source import GitOrigin, export, parse_origin, resolve
from pipeyard.source.checkout import add_repository
from pipeyard.threads import StopSignal

Part = Literal["PROVISIONING", "DOWNLOAD_SOURCE", "BUILDSPEC", "RUNNING", "UPLOAD_ARTIFACTS", "FINALIZING"]

_CODECOMMIT = "/v1/repos/"


class ProjectSource(Struct, frozen=True, kw_only=True):
    """`type` and `location` as CodeBuild has them; an empty `version` is the newest."""

    type: str
    location: str = ""
    version: str = ""


class KeptArtifact(Struct, frozen=True, kw_only=True):
    """Where an artifact of type S3 goes. `name` may be the buildspec's to choose (`override_name`)."""

    bucket: str
    path: str = ""
    name: str = ""
    build_id_in_path: bool = False
    zipped: bool = False
    override_name: bool = False


class ProjectBuild(Struct, frozen=True, kw_only=True):
    """`wish.source`, its versions and its commit's time are filled in here, from `source`."""

    wish: BuildWish
    source: ProjectSource
    secondary_sources: dict[str, ProjectSource] = {}
    artifacts: KeptArtifact | None = None
    secondary_artifacts: dict[str, KeptArtifact] = {}


class Fetched(Struct, frozen=True, kw_only=True):
    """A source in a folder: the version that was asked for, and the commit or object version that it was."""

    version: str = ""
    resolved: str = ""
    url: str = ""
    created_s: int = 0


class ProjectBuilt(Struct, frozen=True, kw_only=True):
    build: Build
    source: Fetched
    artifacts: StoredObject | None = None
    secondary_artifacts: dict[str, StoredObject] = {}


class ProjectBuilds:
    """Safe for any number of threads."""

    def __init__(self, builds: Builds, buckets: Buckets, settings: Settings) -> None:
        self._builds = builds
        self._buckets = buckets
        self._settings = settings

    def run(
        self,
        asked: ProjectBuild,
        workspace: Path,
        *,
        observe: Observer,
        stop: StopSignal,
        enter: Callable[[Part], None],
    ) -> ProjectBuilt:
        """`workspace` is the caller's to remove. `enter` hears which part of the build begins.

        A failed command is an outcome. Raises what `Builds.run` does, and InputError for a source that is not to be
        had or a bucket that does not take the artifacts.
        """
        wish = asked.wish
        enter("PROVISIONING")
        with self._builds.machine(wish.environment, workspace / "machine", stop, observe) as machine:
            enter("DOWNLOAD_SOURCE")
            fetched = self._fetched(asked.source, workspace / "source", observe, stop)
            secondary = {}
            for name, source in asked.secondary_sources.items():
                secondary[name] = workspace / "secondary" / name
                self._fetched(source, secondary[name], observe, stop)
            wish = structs.replace(
                wish,
                source=workspace / "source",
                secondary_sources=secondary,
                source_version=fetched.version,
                resolved_version=fetched.resolved,
                source_url=fetched.url,
                created_s=fetched.created_s,
            )
            enter("BUILDSPEC")
            spec = self._builds.read(wish)
            for problem in spec.problems:
                observe(Warned(problem.message, place=str(problem.place)))
            enter("RUNNING")
            build = self._builds.run_in(machine, spec, wish, workspace / "build", observe=observe, stop=stop)
        if any(phase.name == "post_build" for phase in build.outcome.phases):
            enter("UPLOAD_ARTIFACTS")
            built = self._kept(asked, build, fetched, stop)
        else:
            built = ProjectBuilt(build=build, source=fetched)
        enter("FINALIZING")
        return built

    def batch(self, asked: ProjectBuild, workspace: Path, observe: Observer, stop: StopSignal) -> tuple[Fetched, Batch]:
        """What the buildspec of the source wants as a batch. Raises as `run`, and InputError when it wants none."""
        fetched = self._fetched(asked.source, workspace / "source", observe, stop)
        spec = self._builds.read(structs.replace(asked.wish, source=workspace / "source"))
        if spec.batch is None:
            raise InputError("a batch build needs `batch` in the buildspec", hint="start a build instead")
        return fetched, spec.batch

    def _kept(self, asked: ProjectBuild, build: Build, fetched: Fetched, stop: StopSignal) -> ProjectBuilt:
        outcome, build_id = build.outcome, asked.wish.build_id

        def store(artifact_name: str, folder: Path, where: KeptArtifact) -> StoredObject:
            stop.check()
            name = artifact_name if where.override_name and artifact_name else where.name
            parts = [where.path.strip("/"), build_id if where.build_id_in_path else "", name.strip("/")]
            key = "/".join(part for part in parts if part)
            return self._buckets.store(folder, where.bucket, key, zipped=where.zipped)

        primary = None
        if asked.artifacts is not None and outcome.artifact is not None:
            primary = store(outcome.artifact.name, outcome.artifact.folder, asked.artifacts)
        secondary = {
            name: store(outcome.secondary[name].name, outcome.secondary[name].folder, where)
            for name, where in asked.secondary_artifacts.items()
            if name in outcome.secondary
        }
        return ProjectBuilt(build=build, source=fetched, artifacts=primary, secondary_artifacts=secondary)

    def _fetched(self, source: ProjectSource, folder: Path, observe: Observer, stop: StopSignal) -> Fetched:
        folder.mkdir(parents=True)
        if source.type == "NO_SOURCE":
            return Fetched()
        if source.type == "S3":
            bucket, _, key = source.location.removeprefix("arn:aws:s3:::").partition("/")
            self._buckets.fetch(bucket, key, source.version, folder)
            return Fetched(version=source.version, url=f"s3://{bucket}/{key}")
        origin = self._origin(source)
        mirrors = self._settings.home / "git"
        revision = resolve(origin, mirrors, observe, stop)
        pinned = GitOrigin(origin.location, revision.commit_id)
        export(pinned, revision.commit_id, folder, mirrors, observe, stop)
        add_repository(origin, revision.commit_id, folder, stop)  # builds ask git for the commit, as with the service
        return Fetched(
            version=source.version or revision.commit_id,
            resolved=revision.commit_id,
            url=source.location,
            created_s=revision.committed_s,
        )

    def _origin(self, source: ProjectSource) -> GitOrigin:
        """The repository that stands for a location, else the location itself."""
        if source.version.startswith("pr/"):
            raise InputError(f"pull requests ({source.version}) cannot be built", hint="name its branch or commit")
        connections = self._settings.connections
        names = repository_names(source.location)
        chosen = next((connections[name] for name in names if name in connections), None)
        if chosen is None and (source.type == "CODECOMMIT" or "://" not in source.location):
            raise InputError(
                f"nothing stands for the repository {source.location}",
                hint=f'set connections."{names[-1]}" in pipeyard.toml to a git repository\'s folder or URL',
            )
        origin = parse_origin(chosen or source.location, self._settings.home)
        return GitOrigin(origin.location, source.version or origin.ref)


def repository_names(location: str) -> tuple[str, ...]:
    """What connections may call a repository: its URL as it stands, `owner/name`, CodeCommit's `name`."""
    path = location.partition("://")[2].partition("/")[2] or location
    name = path.partition(_CODECOMMIT.lstrip("/"))[2] or path
    short = name.strip("/").removesuffix(".git")
    return (location, short)
