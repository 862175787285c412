"""Builds with the real docker of builds: our builder, a content store, busybox as environment and as base."""

from pathlib import Path

from pipeyard.buildspec.contract import BuildWish
from pipeyard.image.build import BuildRequest, Publication
from pipeyard.progress import Report, StepOutput
from pipeyard.registry.embedded import StoreDestination
from pipeyard.registry.exchange import Published
from pipeyard.service.builds import Builds
from pipeyard.service.images import open_images
from pipeyard.settings import Settings
from pipeyard.threads import StopSignal
from tests.buildspec.machines import busybox_machine, commands

DOCKERFILE = 'FROM environment:1\nLABEL team=one\nENV GREETING=none\nCMD ["/bin/sh", "-c", "echo $GREETING"]\n'


class DockerYard:
    """A home whose registry has busybox as `environment:1`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(home=folder / "home")
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "Dockerfile").write_text(DOCKERFILE)
        self.published: tuple[Published, ...] = ()
        self._count = 0
        (root,) = busybox_machine(folder / "machine").lowers  # skips where there is no sandbox
        (root / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\nCOPY etc /etc\nCOPY root /root\nENV PATH=/bin\n")
        with open_images(self.settings, {}) as images:
            destination = StoreDestination(images.store, "environment")
            images.build(BuildRequest(context=root), [Publication(destination=destination, tags=("1",))])
            destination.close()

    def run(self, *texts: str) -> list[str]:
        """What these commands say as a privileged build, in which none of them may fail."""
        text = commands(*texts)
        self._count += 1
        reports: list[Report] = []
        wish = BuildWish(
            project="app", source=self.source, buildspec=text, environment="environment:1", privileged=True
        )
        with open_images(self.settings, {}) as images:
            build = Builds(images, {}).run(wish, self.folder / f"build-{self._count}", reports.append, StopSignal())
        log = b"".join(each.data for each in reports if isinstance(each, StepOutput)).decode()
        assert build.outcome.status == "SUCCEEDED", log
        self.published = build.published
        return [line for line in log.splitlines() if not line.startswith("[Container]")]
