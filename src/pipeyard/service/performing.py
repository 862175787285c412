"""What the engine calls for each action: its surroundings are made, the provider performs, its reports are kept."""

import time
from collections.abc import Mapping
from pathlib import Path

from pipeyard.actions.catalogue import find_action
from pipeyard.actions.contract import ActionRequest, ActionResult
from pipeyard.artifacts import FolderArtifacts
from pipeyard.errors import ActionFailed, BuildFailed, InputError, PipeyardError, Place, Stopped
from pipeyard.progress import Observer, StepEnded, StepStarted, masking
from pipeyard.service.choices import Choices, read_choices
from pipeyard.service.images import Images
from pipeyard.service.logs import action_log, both
from pipeyard.service.projects import Projects, no_projects
from pipeyard.service.toolbox import ActionArtifacts, Toolbox, workspace
from pipeyard.settings import Settings
from pipeyard.threads import StopSignal

_SHOWN_LINES = 20  # of the output of a command that failed


class Performer:
    """The engine's Perform. Safe for any number of threads; the same request may come again after a crash."""

    def __init__(
        self,
        settings: Settings,
        images: Images,
        observe: Observer,
        environ: Mapping[str, str],
        *,
        projects: Projects = no_projects,
    ) -> None:
        self._projects = projects
        self._settings = settings
        self._images = images
        self._observe = observe
        self._environ = environ
        if "://" in settings.artifacts:
            where = settings.origins.get("artifacts", "the settings")
            raise InputError(
                f"artifacts from {where} is {settings.artifacts!r}, and has to be a folder", hint="leave it out"
            )
        self._artifacts = FolderArtifacts(Path(settings.artifacts_url))
        self._secrets = [*settings.access_keys.values(), *(user.password for user in settings.users.values())]

    def __call__(self, request: ActionRequest, stop: StopSignal) -> ActionResult:
        home, action_id = self._settings.home, request.action_execution_id
        choices = read_choices(home, request.pipeline_execution_id, Choices(publish=self._settings.publish))
        with workspace(home, action_id) as folder, action_log(home, action_id, time.monotonic) as log:
            observe = masking(both(self._observe, log), self._secrets)
            toolbox = Toolbox(
                settings=self._settings,
                images=self._images,
                artifacts=ActionArtifacts(self._artifacts, action_id),
                workspace=folder,
                choices=choices,
                observe=observe,
                stop=stop,
                environ=self._environ,
                projects=self._projects,
            )
            observe(StepStarted(action_id, f"{request.stage} / {request.action}  {request.type_id.provider}"))
            try:
                result = find_action(request.type_id).perform(request, toolbox)
            except Stopped as stopped:
                observe(StepEnded(action_id, error=f"stopped: {stopped.message}"))
                raise
            except PipeyardError as error:
                told = self._told(error)
                observe(StepEnded(action_id, error=str(told)))
                if told is error:
                    raise
                raise told from error
            except BaseException as error:
                observe(StepEnded(action_id, error=f"{type(error).__name__}: {error}"))
                raise
            observe(StepEnded(action_id, detail=result.summary))
            return result

    def _told(self, error: PipeyardError) -> PipeyardError:
        """The error as the user should see it: places within the source, not within our store; a command's output."""
        place = error.place
        if place is not None and (within := _within(Path(place.file), Path(self._settings.artifacts_url))):
            place = Place(within, place.line, place.column)
        if not isinstance(error, BuildFailed):
            error.place = place
            return error
        message = error.message
        lines = error.output.rstrip("\n").splitlines()[-_SHOWN_LINES:]
        if lines:
            message += "\nlast output:\n" + "\n".join(f"  {line}" for line in lines)
        return ActionFailed(message, place=place, hint=error.hint)


def _within(file: Path, artifacts: Path) -> str:
    """`ARTIFACTS/OWNER/NAME/path` gives `path`; other files give nothing."""
    if not file.is_relative_to(artifacts):
        return ""
    return str(Path(*file.relative_to(artifacts).parts[2:]))
