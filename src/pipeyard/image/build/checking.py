"""The linter beside a build, and alone as `--check`: what works and should not be done."""

from collections.abc import Callable, Mapping

from pipeyard.errors import Problem
from pipeyard.image.build.request import BuildRequest
from pipeyard.image.build.scope import platform_arguments
from pipeyard.image.build.sources import read_ignore
from pipeyard.image.build.stagestate import environment_of
from pipeyard.image.dockerfile import lint
from pipeyard.image.dockerfile.instructions import Dockerfile
from pipeyard.oci import Platform
from pipeyard.oci.platforms import native
from pipeyard.progress import Observer, Warned
from pipeyard.registry.exchange import ResolvedImage

Images = Mapping[tuple[str, Platform], ResolvedImage]


def check(request: BuildRequest) -> tuple[Problem, ...]:
    """Every finding about the Dockerfile, without a registry. Raises DockerfileError for one that cannot be read."""
    from pipeyard.image.build.building import read_dockerfile

    file, ignore = read_dockerfile(request)
    matcher = read_ignore(ignore) if ignore is not None else None
    surroundings = lint.Surroundings(arguments=request.arguments, predefined=_predefined(file, request), ignore=matcher)
    return lint.check(file, surroundings)


def report_findings(file: Dockerfile, request: BuildRequest, images: Images, observe: Observer) -> None:
    """Tells of each finding. Raises DockerfileError where the file says that a finding is an error."""
    surroundings = lint.Surroundings(
        arguments=request.arguments, predefined=_predefined(file, request), base_image=_known(images)
    )
    problems = lint.check(file, surroundings)
    for problem in problems:
        observe(Warned(f"{problem.rule}: {problem.message}", place=str(problem.place)))
    lint.refuse_violations(problems)


def _predefined(file: Dockerfile, request: BuildRequest) -> Mapping[str, str]:
    platform = request.platforms[0] if request.platforms else native()
    name = request.target or (file.stages[-1].name or "" if file.stages else "")
    return platform_arguments(native(), platform, name, request.arguments)


def _known(images: Images) -> Callable[[str], lint.BaseImage | None]:
    found = {text: image for (text, _), image in images.items()}

    def base_image(reference: str) -> lint.BaseImage | None:
        image = found.get(reference)
        if image is None:
            return None
        config = image.config.config
        environment = environment_of(config.env if config else None)
        return lint.BaseImage(environment=environment, has_shell=bool(config and config.shell))

    return base_image
