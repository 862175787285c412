"""The linter beside a build, and alone as `--check`: what works and should not be done."""

from collections.abc import Callable, Mapping

from pipeyard.errors import DockerfileError, InputError, Place, Problem, RegistryError
from pipeyard.image.build.request import BuildRequest
from pipeyard.image.build.scope import platform_arguments
from pipeyard.image.build.sources import read_ignore
from pipeyard.image.build.stages import familiar
from pipeyard.image.build.stagestate import environment_of
from pipeyard.image.dockerfile import lint
from pipeyard.image.dockerfile.ignore import IgnoreMatcher
from pipeyard.image.dockerfile.instructions import Dockerfile
from pipeyard.oci import Platform, parse_platform
from pipeyard.oci.platforms import native
from pipeyard.progress import Observer, Warned
from pipeyard.registry.exchange import ImageOrigin, ResolvedImage
from pipeyard.registry.reference import parse_reference

Images = Mapping[tuple[str, Platform], ResolvedImage]


def check(request: BuildRequest, origin: Callable[[], ImageOrigin] | None = None) -> tuple[Problem, ...]:
    """Every finding about the Dockerfile, and the first thing that its build would fail on while it is planned.

    What base images bring is looked up in what `origin` opens, once there is one to look up; where it cannot be asked,
    no variable counts as undefined. Raises DockerfileError for a file that cannot be read.
    """
    from pipeyard.image.build.plan import plan
    from pipeyard.image.build.requested import read_dockerfile, wishes_of

    file, ignore = read_dockerfile(request)
    images = _Images(request, origin)
    surroundings = lint.Surroundings(
        arguments=request.arguments,
        predefined=_predefined(file, request),
        ignore=read_ignore(ignore) if ignore is not None else None,
        base_image=images.base_image,
    )
    problems = lint.check(file, surroundings)
    if any(problem.severity == "error" and not problem.rule for problem in problems):
        return problems
    try:
        plan(file, wishes_of(request, request.platforms[0] if request.platforms else None), images.resolve)
    except DockerfileError as error:
        return (*problems, Problem("error", error.message, error.place or Place(file.file), error.hint))
    except (InputError, RegistryError):
        pass  # an image that is not there now; the Dockerfile may be right
    return problems


class _Images:
    """Base images as far as they can be asked for, each once."""

    def __init__(self, request: BuildRequest, origin: Callable[[], ImageOrigin] | None) -> None:
        self._open = origin
        self._origin: ImageOrigin | None = None
        self._platform = request.platforms[0] if request.platforms else native()
        self._replaced = {familiar(name) for name in request.contexts}
        self._found: dict[tuple[str, Platform], ResolvedImage | InputError | RegistryError] = {}

    def resolve(self, text: str, platform: Platform) -> ResolvedImage:
        key = text, platform
        if key not in self._found:
            try:
                if self._open is None:
                    raise InputError("no registry is asked")
                self._origin = self._origin or self._open()
                self._found[key] = self._origin.resolve(parse_reference(text), platform)
            except (InputError, RegistryError) as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, ResolvedImage):
            return found
        raise InputError(f"{text}: {found.message}")

    def base_image(self, text: str, platform: str) -> lint.BaseImage | None:
        if familiar(text) in self._replaced:
            return None
        try:
            asked = parse_platform(platform) if platform else self._platform
            return _inherited(self.resolve(text, asked), asked)
        except InputError:
            return None


def report_findings(
    file: Dockerfile, request: BuildRequest, *, images: Images, ignore: IgnoreMatcher | None, observe: Observer
) -> None:
    """Tells of each finding. Raises DockerfileError where the file says that a finding is an error."""
    surroundings = lint.Surroundings(
        arguments=request.arguments,
        predefined=_predefined(file, request),
        ignore=ignore,
        base_image=_known(images),
    )
    problems = lint.check(file, surroundings)
    for problem in problems:
        observe(Warned(f"{problem.rule}: {problem.message}", place=str(problem.place)))
    lint.refuse_violations(problems)


def _predefined(file: Dockerfile, request: BuildRequest) -> Mapping[str, str]:
    platform = request.platforms[0] if request.platforms else native()
    name = request.target or (file.stages[-1].name or "" if file.stages else "")
    return platform_arguments(native(), platform, name, request.arguments)


def _known(images: Images) -> Callable[[str, str], lint.BaseImage | None]:
    found = {text: (image, platform) for (text, platform), image in images.items()}

    def base_image(reference: str, platform: str) -> lint.BaseImage | None:
        known = found.get(reference)
        return _inherited(*known) if known is not None else None

    return base_image


def _inherited(image: ResolvedImage, asked: Platform) -> lint.BaseImage:
    config = image.config.config
    has = Platform(image.config.os, image.config.architecture, image.config.variant)
    same = (has.os, has.architecture) == (asked.os, asked.architecture) or not has.architecture
    return lint.BaseImage(
        environment=environment_of(config.env if config else None),
        has_shell=bool(config and config.shell),
        triggers=tuple((config.on_build if config else None) or ()),
        unlike=None if same else (str(has), str(asked)),
    )
