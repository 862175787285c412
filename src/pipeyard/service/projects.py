"""CodeBuild projects that no definition declares."""

from collections.abc import Callable

from pipeyard.definition.model import CodeBuildProject, EnvironmentVariable
from pipeyard.settings import Settings

Projects = Callable[[str], CodeBuildProject | None]
"""A project by its name; None when there is none."""


def no_projects(name: str) -> CodeBuildProject | None:
    """None by any name."""
    return None


def project_of_settings(settings: Settings, name: str) -> CodeBuildProject | None:
    declared = settings.projects.get(name)
    if declared is None:
        return None
    return CodeBuildProject(
        name=name,
        image=declared.image,
        privileged_mode=declared.privileged,
        environment_variables=[EnvironmentVariable(name=key, value=value) for key, value in declared.variables.items()],
        buildspec=declared.buildspec or None,
        timeout_in_minutes=declared.timeout_minutes,
    )
