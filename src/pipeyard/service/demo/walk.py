"""The demonstration's steps, for a front door to show one after the other."""

import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from pipeyard.errors import ActionFailed, PipeyardError, Stopped
from pipeyard.progress import Observer, Report, StepEnded, StepStarted
from pipeyard.registry.reference import Reference
from pipeyard.service.demo.base_image import assemble_root
from pipeyard.service.demo.project import BASE_REPOSITORY, DemoProject, make_project
from pipeyard.service.images import Images, open_images
from pipeyard.service.outcome import Outcome
from pipeyard.service.preflight import RunRequest
from pipeyard.service.yard import Pipeyard
from pipeyard.settings import Settings
from pipeyard.threads import StopSignal

_BASE_DOCKERFILE = b'FROM scratch\nCOPY . /\nENV LANG=C.UTF-8\nCMD ["sh"]\n'
_ANSWER_WITHIN_S = 20

MakeProject = Callable[[Path, str, str, int], DemoProject]
"""From a folder, an account, a region and the time of the first commit, in seconds."""


class DemoRun(Struct, frozen=True, kw_only=True):
    outcome: Outcome
    steps: int  # of the image's build
    cached: int
    seconds: float


class DemoWalk:
    """`folder` receives the project, `settings.home` everything else."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        folder: Path,
        *,
        now_s: int,
        stop: StopSignal,
        make: MakeProject = make_project,
    ) -> None:
        self.project = make(folder, settings.account_id, settings.region, now_s)
        self._settings = settings
        self._environ = environ
        self._stop = stop
        self._now_s = now_s

    def make_base(self, observe: Observer) -> None:
        """Publishes the base image in the embedded registry."""
        from pipeyard.image.build import BuildRequest, Publication

        with tempfile.TemporaryDirectory(prefix="pipeyard-base-") as folder, self._images() as images:
            root = Path(folder)
            observe(StepStarted("root", "collect a shell, tools and Python"))
            assemble_root(root)
            observe(StepEnded("root"))
            destination = images.destination("embedded", BASE_REPOSITORY)
            try:
                request = BuildRequest(context=root, dockerfile_text=_BASE_DOCKERFILE, epoch_s=self._now_s)
                images.build(request, [Publication(destination=destination, tags=("1",))], observe, self._stop)
            finally:
                destination.close()

    def run(self, observe: Observer) -> DemoRun:
        """The pipeline, once; the instructions of the image's build are counted on the way."""
        instructions: set[str] = set()
        cached: set[str] = set()

        def count(report: Report) -> None:
            match report:
                case StepStarted(step, title) if title.startswith("[") and "] FROM " not in title:
                    instructions.add(step)
                case StepEnded(step, True):
                    cached.add(step)
                case _:
                    pass
            observe(report)

        start = time.monotonic()
        yard = Pipeyard(self._settings, self._environ, count)
        request = RunRequest(sources={"Checkout": str(self.project.repository)})
        ready = yard.prepare(self.project.template, request=request, stop=self._stop)
        outcome = yard.run(ready, self._stop)
        return DemoRun(
            outcome=outcome,
            steps=len(instructions),
            cached=len(instructions & cached),
            seconds=time.monotonic() - start,
        )

    def change(self) -> str:
        """A new commit, a minute younger; gives its id."""
        return self.project.change_greeting("Good day from pipeyard", self._now_s + 60)

    def tags(self) -> tuple[str, ...]:
        with self._images() as images:
            return images.store.catalog.tags("demo/greeter")

    def ask_service(self) -> str:
        """Starts the published image, asks it one question over HTTP, ends it; gives the answer.

        Raises ActionFailed, with what it printed, when it does not answer in time.
        """
        from pipeyard.service.containers import run_image

        port = _free_port()
        printed = bytearray()
        ending = StopSignal(self._stop)
        failures: list[PipeyardError] = []
        home = self._settings.home
        with tempfile.TemporaryDirectory(prefix="container-", dir=home) as scratch, self._images() as images:
            reference = Reference(images.own_host, "demo/greeter", "latest")

            def serve() -> None:
                try:
                    run_image(images, reference, Path(scratch), {"PORT": str(port)}, printed.extend, ending)
                except Stopped:
                    return
                except PipeyardError as error:
                    failures.append(error)

            thread = threading.Thread(target=serve, name="service")
            thread.start()
            try:
                return _ask(port, thread, ending)
            except TimeoutError as error:
                if failures:
                    raise failures[0] from error
                text = printed.decode(errors="replace")[-2000:]
                raise ActionFailed(f"the service did not answer; it printed: {text}") from error
            finally:
                ending.stop("the demonstration has its answer")
                thread.join()

    def _images(self) -> AbstractContextManager[Images]:
        return open_images(self._settings, self._environ)


def _ask(port: int, thread: threading.Thread, stop: StopSignal) -> str:
    deadline = time.monotonic() + _ANSWER_WITHIN_S
    while thread.is_alive() and time.monotonic() < deadline:
        stop.check()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode(errors="replace").strip()
        except OSError:
            stop.wait(0.05)
        finally:
            connection.close()
    raise TimeoutError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
