"""Commands: shell commands on the input artifacts, without a project and without a buildspec.

Source: CodePipeline User Guide, "Commands action reference".
"""

import json
from collections.abc import Iterable, Mapping
from typing import ClassVar

from pipeyard.actions.codebuild import finished, request_minutes
from pipeyard.actions.contract import ActionRequest, ActionResult, Tools
from pipeyard.buildspec.contract import BuildWish
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed

_IMAGE = "aws/codebuild/amazonlinux2-x86_64-standard:5.0"
_TIMEOUT_MINUTES = 60


class Commands:
    """Commands run in one shell; the first that fails ends the action."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Compute", owner="AWS", provider="Commands", version="1")

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        for key in configuration:
            yield f"{key} is no key of this action's configuration; a Commands action has none"

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        if not request.commands:
            raise ActionFailed("a Commands action needs commands", hint="add Commands beside ActionTypeId")
        if not request.inputs:
            raise ActionFailed("a Commands action takes at least one input artifact", hint="name one in InputArtifacts")
        # Of several inputs the first is where the commands start, as for the service.
        primary = next(iter(request.inputs.values()))
        build = tools.run_build(
            BuildWish(
                project=f"{request.pipeline}-{request.stage}-{request.action}",
                source=tools.artifacts.folder(primary),
                secondary_sources={
                    name: tools.artifacts.folder(artifact)
                    for name, artifact in request.inputs.items()
                    if name != primary.name
                },
                buildspec=as_buildspec(request),
                environment=_IMAGE,
                variables={each.name: (each.type, each.value) for each in request.environment_variables},
                timeout_s=60 * (request_minutes(request) or _TIMEOUT_MINUTES),
                source_version=primary.revision,
                created_s=primary.created_s,
                initiator=f"codepipeline/{request.pipeline}",
                caches=False,
            ),
            request.action_execution_id,
        )
        return finished(request, tools, build)


def as_buildspec(request: ActionRequest) -> str:
    """The same as a buildspec; its one output artifact has the files that it declares, or everything."""
    document: dict[str, object] = {
        "version": "0.2",
        "phases": {"build": {"commands": list(request.commands), "on-failure": "ABORT"}},
    }
    if request.output_variables:
        document["env"] = {"exported-variables": list(request.output_variables)}
    if request.outputs:
        document["artifacts"] = {"files": list(request.outputs[0].files) or ["**/*"]}
    return json.dumps(document)
