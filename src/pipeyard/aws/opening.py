"""The endpoint of one home, ready to be put before its registry: keys, records and parts, from settings."""

import hmac
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.aws.codebuild.batches import BatchRecord, end_batches_of
from pipeyard.aws.codebuild.builds import BuildRecord, end_builds_of
from pipeyard.aws.codebuild.carrying import BuildCarrier
from pipeyard.aws.codebuild.projects import project_named
from pipeyard.aws.endpoint import respond
from pipeyard.aws.front import front
from pipeyard.aws.identities import AccessKeys, new_key_id
from pipeyard.aws.logstreams import LogStreams
from pipeyard.aws.parts import BatchRunner, BuildRunner, Parts
from pipeyard.aws.protocols import is_aws
from pipeyard.aws.records import Records
from pipeyard.aws.running import RunningBuilds
from pipeyard.registry.server.access import EVERYTHING, Caller, Verify
from pipeyard.registry.server.asgi import App
from pipeyard.registry.server.serving import kept_secret, repeated
from pipeyard.registry.store import ContentStore
from pipeyard.service.workspaces import working
from pipeyard.settings import Settings

if TYPE_CHECKING:
    from pipeyard.engine import Engine
    from pipeyard.engine.roll import Roll
    from pipeyard.service.project_builds import ProjectBuilds


_WATCH_S = 1.0


class Opened(Struct, frozen=True, kw_only=True):
    verify: Verify  # the registry takes ECR's passwords with it
    wrap: Callable[[App], App]
    engine: "Callable[[], Engine]"  # of who carries executions out, or of one that only asks
    credentials: Path | None  # where the access key is that was made, because the settings have none


def open_endpoint(
    settings: Settings,
    store: ContentStore,
    lifetime: ExitStack,
    *,
    scheme: str = "http",
    sparse: bool = True,
    run_build: BuildRunner | None = None,
    environ: Mapping[str, str] | None = None,
) -> Opened:
    """`sparse` as for the registry. What is opened is closed, and builds are stopped, with `lifetime`.

    With `environ` this process carries out executions and builds, those of a killed server included; it is where
    credentials and proxies are looked up. Without it, executions that are started wait for another process, and
    builds are `run_build`'s.
    """
    folder = settings.home / "aws"
    credentials = folder / "credentials" if not settings.access_keys else None
    keys = AccessKeys(
        settings.access_keys if credentials is None else _kept_key(credentials, settings),
        settings.account_id,
        kept_secret(folder / "session-key").encode(),
    )
    records = Records(folder / "records.sqlite")
    lifetime.callback(records.close)
    logs = LogStreams(folder / "logs", store.now_ms)
    engine, server = _engine_once(settings, store, lifetime), ""
    roll: Roll | None = None
    batches: BatchRunner | None = None
    if environ is not None:
        from pipeyard.service.executions import carried_out

        engine = lifetime.enter_context(
            carried_out(settings, environ, store, projects=lambda name: project_named(records, name, settings.region))
        )
        roll, server = _joined(settings, lifetime)
        _end_those_of_the_dead(roll, records, store)
        run_build = batches = _carrier(settings, environ, store, logs, lifetime)
    running = RunningBuilds()
    lifetime.callback(running.stop_all)
    if roll is not None:
        lifetime.enter_context(_watching(roll, running, records, store))
    parts = Parts(
        account=settings.account_id,
        region=settings.region,
        store=store,
        records=records,
        keys=keys,
        now_ms=store.now_ms,
        new_id=lambda: str(uuid.uuid4()),
        public_url=lambda host: f"{scheme}://{host}",
        sparse=sparse,
        run_build=run_build,
        batches=batches,
        running=running,
        server=server,
        logs=logs,
        engine=engine,
        start_on_create=settings.start_on_create,
        oidc_providers=settings.oidc_providers,
    )

    def verify(name: str, password: str) -> Caller | None:
        if not hmac.compare_digest(name.encode(), b"AWS") or not keys.check_password(password, store.now_ms()):
            return None
        return Caller(name="AWS", rights=EVERYTHING)

    return Opened(
        verify=verify,
        wrap=lambda registry: front(registry, is_aws, lambda call: respond(parts, call)),
        credentials=credentials,
        engine=engine,
    )


def _joined(settings: Settings, lifetime: ExitStack) -> "tuple[Roll, str]":
    """This process among the servers of the home."""
    from pipeyard.engine.roll import LockedRoll

    roll, server = LockedRoll(settings.home / "aws" / "servers"), str(uuid.uuid4())
    roll.join(server)
    lifetime.callback(lambda: roll.leave(work_remains=False))
    return roll, server


def _end_those_of_the_dead(roll: "Roll", records: Records, store: ContentStore) -> None:
    """The builds of servers that died are told to be over."""
    for dead in roll.dead():
        end_builds_of(records, dead, store.now_ms())
        end_batches_of(records, dead, store.now_ms())


@contextmanager
def _watching(roll: "Roll", running: RunningBuilds, records: Records, store: ContentStore) -> Iterator[None]:
    """The other servers of the home, for the block: one may die, and one may be told to stop a build of ours."""

    def over(region: str, name: str) -> bool:
        build = records.get(BuildRecord, region, name)
        batch = records.get(BatchRecord, region, name) if build is None else None
        return bool(build and build.document["buildComplete"]) or bool(batch and batch.document["complete"])

    def look() -> None:
        running.stop_those(over)
        _end_those_of_the_dead(roll, records, store)

    with repeated(look, _WATCH_S, "watching the other servers of this home"):
        yield


def _carrier(
    settings: Settings, environ: Mapping[str, str], store: ContentStore, logs: LogStreams, lifetime: ExitStack
) -> BuildCarrier:
    lock = threading.Lock()
    held = lifetime.enter_context(ExitStack())  # left after the builds that use what it holds
    held.enter_context(working(settings.home))
    found: list[ProjectBuilds] = []

    def builds() -> "ProjectBuilds":
        with lock:
            if not found:
                from pipeyard.service.buckets import Buckets
                from pipeyard.service.builds import Builds
                from pipeyard.service.ecr import session_clients
                from pipeyard.service.images import open_images
                from pipeyard.service.project_builds import ProjectBuilds

                images = held.enter_context(open_images(settings, environ, store))
                clients = session_clients()
                buckets = Buckets(settings, lambda: clients("s3", settings.region))
                found.append(ProjectBuilds(Builds(images, environ), buckets, settings))
            return found[0]

    carrier = BuildCarrier(settings, builds, logs, store.now_ms)
    lifetime.callback(carrier.close)
    return carrier


def _engine_once(settings: Settings, store: ContentStore, lifetime: ExitStack) -> Callable[[], "Engine"]:
    """Opens at the first call: SQLAlchemy is slow to import, and a build's `docker login` does not need it."""
    lock = threading.Lock()
    found: list[Engine] = []

    def engine() -> "Engine":
        with lock:
            if not found:
                from pipeyard.engine.engine import Engine
                from pipeyard.engine.store import open_store

                states = open_store(settings.database_url)
                lifetime.callback(states.close)
                found.append(Engine(states, now_ms=store.now_ms, new_id=lambda: str(uuid.uuid4())))
            return found[0]

    return engine


def _kept_key(path: Path, settings: Settings) -> Mapping[str, str]:
    """The one key of a home whose settings name none, in a file that AWS's own tools read."""

    def made() -> str:
        return "\n".join(
            (
                "[default]",
                f"aws_access_key_id = {new_key_id('AKIA', settings.account_id)}",
                f"aws_secret_access_key = {secrets.token_urlsafe(30)}",
            )
        )

    fields = dict(line.split(" = ", 1) for line in kept_secret(path, made).splitlines() if " = " in line)
    return {fields["aws_access_key_id"]: fields["aws_secret_access_key"]}
