"""A buildspec's build from the settings' point of view: its machine, its docker, its secrets, its cache, its batch."""

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import structs

from pipeyard.buildspec import batch
from pipeyard.buildspec.contract import HOST, Build, BuildOrder, BuildOutcome, BuildWish, Identity, Machine
from pipeyard.buildspec.docker.client import COMPOSE, PROGRAM
from pipeyard.buildspec.model import BatchBuild, Buildspec
from pipeyard.buildspec.reader import read_buildspec
from pipeyard.buildspec.running import Begun, BuildFolders, run_build
from pipeyard.buildspec.sharding import sharding_programs
from pipeyard.buildspec.variables import declared_variables, resolved
from pipeyard.errors import InputError, PipeyardError
from pipeyard.progress import Observer, StepEnded, StepStarted, Warned, within
from pipeyard.registry.exchange import Published
from pipeyard.registry.reference import parse_reference
from pipeyard.service.aws_program import aws_program
from pipeyard.service.images import Images
from pipeyard.service.machines import host_machine, image_machine
from pipeyard.threads import Stop, StopSignal, crew

_PARALLEL_BUILDS = 4
_STANDARD = "aws/codebuild/"
_AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class Builds:
    """Runs builds with the parts of `images`. Safe for any number of threads."""

    def __init__(self, images: Images, environ: Mapping[str, str]) -> None:
        self._images = images
        self._settings = images.settings
        self._environ = environ

    def run(self, wish: BuildWish, workspace: Path, observe: Observer, stop: StopSignal) -> Build:
        """`workspace` is empty and the caller's to remove; artifacts lie in it.

        Raises InputError and InvalidDefinition for a wrong buildspec, InputError for an environment that is not to be
        had, RegistryError, SandboxError, BuildTimedOut, Stopped.
        """
        spec = self.read(wish)
        for problem in spec.problems:
            observe(Warned(problem.message, place=str(problem.place)))
        if wish.batch and spec.batch is not None:
            return self._batch(spec, wish, workspace, observe, stop)
        if wish.batch:
            raise InputError("a batch build needs `batch` in the buildspec", hint="or set BatchEnabled to false")
        return self._single(spec, wish, workspace, observe, stop)

    def read(self, wish: BuildWish) -> Buildspec:
        """The buildspec: inline text when it has lines or is a mapping, else a file of the source."""
        text = wish.buildspec
        if "\n" in text.strip() or text.lstrip().startswith("{") or ": " in text:
            return read_buildspec(text, "buildspec")
        name = text.strip() or "buildspec.yml"
        file = wish.source / name
        if not text.strip() and not file.exists():
            file = wish.source / "buildspec.yaml"
        if not file.resolve().is_relative_to(wish.source.resolve()):
            raise InputError(f"the buildspec {name} leads out of the source")
        if not file.is_file():
            raise InputError(f"there is no {name} in the source", hint="name the project's buildspec, or commit one")
        return read_buildspec(file.read_text(encoding="utf-8", errors="replace"), str(file))

    def _single(self, spec: Buildspec, wish: BuildWish, workspace: Path, observe: Observer, stop: StopSignal) -> Build:
        with self.machine(wish.environment, workspace, stop, observe) as machine:
            return self.run_in(machine, spec, wish, workspace, observe=observe, stop=stop)

    def run_in(
        self,
        machine: Machine,
        spec: Buildspec,
        wish: BuildWish,
        workspace: Path,
        *,
        observe: Observer,
        stop: StopSignal,
    ) -> Build:
        """One build, no batch, in a machine of `machine`. Raises as `run` does."""
        declared, hidden = declared_variables(spec.env, self._parameter, self._secret)
        given, also_hidden = resolved(wish.variables, self._parameter, self._secret)
        workspace.mkdir(parents=True, exist_ok=True)
        own_stop = StopSignal(stop)
        try:
            with ExitStack() as held:
                if wish.privileged:
                    begin, published = self._docker(wish, held, own_stop)
                else:
                    begin, published = None, []
                token = os.urandom(24).hex()  # `secrets` would import half of the standard library
                aws = self._aws_variables(wish)
                order = BuildOrder(
                    spec=spec,
                    identity=self._identity(wish),
                    source=wish.source,
                    secondary_sources=wish.secondary_sources,
                    variables={**aws, **declared, **given},
                    secrets=(*hidden, *also_hidden, token, *(aws[name] for name in _AWS_SECRETS if name in aws)),
                    cache=self._settings.home / "cache" / "builds" / _safe(wish.project) if wish.caches else None,
                    seconds=wish.timeout_s,
                    **self._tools(wish, machine, token),
                )
                outcome = run_build(order, machine, workspace / "build", observe, own_stop, begin)
            return Build(outcome=outcome, published=tuple(published))
        finally:
            own_stop.detach()

    def _docker(self, wish: BuildWish, held: ExitStack, stop: StopSignal) -> tuple[Begun, list[Published]]:
        """What answers a build's `docker`, as long as `held`, and the images that it pushes meanwhile."""
        from pipeyard.buildspec.docker.commands import Docker
        from pipeyard.buildspec.docker.serving import serving
        from pipeyard.service.docker import docker_engine

        engine = held.enter_context(docker_engine(self._images, wish.publish, wish.created_s, stop))

        def begin(folders: BuildFolders) -> None:
            docker = Docker(engine, folders.view(), time.time)
            held.enter_context(serving(folders.live("control") / "docker", docker.answer, stop))

        return begin, engine.published

    def _batch(self, spec: Buildspec, wish: BuildWish, workspace: Path, observe: Observer, stop: StopSignal) -> Build:
        """Builds of a batch run side by side; each has its own buildspec, environment and workspace."""
        assert spec.batch is not None
        builds = batch.expand(spec.batch)
        started: set[str] = set()
        ended: dict[str, batch.Verdict] = {}
        outcomes: dict[str, Build] = {}

        def one(build: BatchBuild) -> None:
            observe(StepStarted(build.identifier, build.identifier))
            mine = self._of_batch(wish, build)
            inner = self.read(mine) if build.buildspec else structs.replace(spec, batch=None)
            outcomes[build.identifier] = self._single(
                inner, mine, workspace / build.identifier, within(observe, build.identifier), stop
            )
            observe(StepEnded(build.identifier, error=outcomes[build.identifier].outcome.error))

        while True:
            step = batch.advance(builds, frozenset(started), ended, fast_fail=spec.batch.fast_fail)
            if not step.start:
                break
            with crew("batch", _PARALLEL_BUILDS, stop) as members:
                for build in step.start:
                    started.add(build.identifier)
                    members.start(one, build)
            ended = {name: found.outcome.status for name, found in outcomes.items()}
        good = batch.batch_succeeded(builds, ended)
        failed = ", ".join(name for name, status in ended.items() if status == "FAILED")
        return Build(
            outcome=BuildOutcome(
                status="SUCCEEDED" if good else "FAILED", phases=(), error="" if good else f"builds failed: {failed}"
            ),
            published=tuple(each for found in outcomes.values() for each in found.published),
            batch={name: found.outcome for name, found in outcomes.items()},
        )

    def _of_batch(self, wish: BuildWish, build: BatchBuild) -> BuildWish:
        env = build.env
        return structs.replace(
            wish,
            batch=False,
            batch_identifier=build.identifier,
            shard=build.shard,
            buildspec=build.buildspec or wish.buildspec,
            environment=env.image or wish.environment,
            privileged=wish.privileged if env.privileged_mode is None else env.privileged_mode,
            variables={**wish.variables, **{name: ("PLAINTEXT", value) for name, value in env.variables.items()}},
        )

    @contextmanager
    def machine(self, environment: str, workspace: Path, stop: Stop, observe: Observer) -> Iterator[Machine]:
        """What an environment's name stands for, for the block. Raises InputError, RegistryError, SandboxError."""
        name = self.environment(environment)
        if name == HOST:
            user_home = workspace / "user-home"
            user_home.mkdir(parents=True)
            yield host_machine(self._settings.home, self._environ, user_home)
            return
        with image_machine(
            self._images, parse_reference(name), self._images.origin(stop, observe), stop, observe
        ) as machine:
            yield structs.replace(machine, name=environment)

    def environment(self, name: str) -> str:
        """`host`, or the image that the settings have for an environment. Raises InputError for one of AWS's own.

        Of several entries of `build_images` that fit the beginning of the name, the longest counts; `*` fits all.
        """
        table = self._settings.build_images
        fitting = [entry for entry in table if entry == name or (name.startswith(entry) and entry.endswith(("/", ":")))]
        if fitting:
            return table[max(fitting, key=len)]
        if "*" in table:
            return table["*"]
        if name.startswith(_STANDARD):
            raise InputError(
                f"{name} is an image of AWS's own, which nobody else can pull",
                hint=f'set build_images."{name}" in pipeyard.toml to an image of yours, or to "host"',
            )
        return name or HOST

    def _identity(self, wish: BuildWish) -> Identity:
        return Identity(
            project=wish.project,
            build_id=wish.build_id or str(uuid.uuid4()),
            number=wish.number,
            region=wish.region or self._settings.region,
            account=self._settings.account_id,
            initiator=wish.initiator,
            start_ms=int(time.time() * 1000),
            source_version=wish.source_version,
            resolved_version=wish.resolved_version,
            source_url=wish.source_url,
            batch_identifier=wish.batch_identifier,
        )

    def _aws_variables(self, wish: BuildWish) -> dict[str, str]:
        """With an endpoint of ours, or to publish to ECR, the build's own tools need what ours have."""
        names = ["AWS_ENDPOINT_URL"]
        if self._environ.get("AWS_ENDPOINT_URL") or wish.publish == "ecr":
            names += ["AWS_ACCESS_KEY_ID", *_AWS_SECRETS]
        return {name: self._environ[name] for name in names if self._environ.get(name)}

    def _tools(self, wish: BuildWish, machine: Machine, token: str) -> dict[str, dict[str, str]]:
        """`docker` for privileged projects; `aws` first where nothing real stands behind it, last otherwise."""
        tools = {"docker": PROGRAM, "docker-compose": COMPOSE} if wish.privileged else {}
        tools |= sharding_programs(*wish.shard)
        program = {"aws": aws_program(self._settings.account_id, self._settings.region, token)}
        if self._environ.get("AWS_ENDPOINT_URL") or wish.publish == "ecr":
            return {"tools": tools, "spare_tools": {} if machine.finds("aws") else program}
        return {"tools": {**tools, **program}, "spare_tools": {}}

    def _parameter(self, name: str) -> str | None:
        table = self._settings.ssm_parameters
        return table.get(name, table.get(name.rpartition(":parameter")[2]))

    def _secret(self, name: str) -> str | None:
        table = self._settings.secrets
        return table.get(name, table.get(name.rpartition(":secret:")[2]))


def failure(build: Build) -> PipeyardError | None:
    """Why a build failed, to be raised; None when it succeeded."""
    return PipeyardError(build.outcome.error) if build.outcome.status == "FAILED" else None


def _safe(project: str) -> str:
    import hashlib

    return hashlib.sha256(project.encode()).hexdigest()[:24]
