"""A `Perform` that follows a script: for tests of the engine and of whatever stands on it, next to the real actions.

An action's configuration says what it does, one key for each thing; keys that it does not know are its own business:

    Variables     "A=1,B=2": its output variables
    Fail          it fails with this message
    Crash         it raises something that is no PipeyardError, with this message
    Effect        a folder: it leaves a file there named after its action execution, and adds a line to the file's end
    Wait          "stop": until it is stopped; otherwise a file: until it is there
    Summary       its summary

Every declared output artifact is put out, with the execution's id as revision.
"""

from pathlib import Path

from pipeyard.actions.contract import ActionRequest, ActionResult, Artifact
from pipeyard.errors import ActionFailed
from pipeyard.threads import StopSignal

LOOK_S = 0.02


def perform_scripted(request: ActionRequest, stop: StopSignal) -> ActionResult:
    script = request.configuration
    if folder := script.get("Effect"):
        with (Path(folder) / request.action_execution_id).open("a") as effect:
            effect.write(f"{request.stage}.{request.action}\n")
    if waited := script.get("Wait"):
        while waited == "stop" or not Path(waited).exists():
            stop.wait(LOOK_S)
            stop.check()
    if message := script.get("Fail"):
        raise ActionFailed(message)
    if message := script.get("Crash"):
        raise RuntimeError(message)
    pairs = (pair.partition("=") for pair in script.get("Variables", "").split(",") if pair)
    outputs = {
        each.name: Artifact(name=each.name, location=f"memory:{each.name}", revision=request.pipeline_execution_id)
        for each in request.outputs
    }
    variables = {name: value for name, _, value in pairs}
    return ActionResult(outputs=outputs, variables=variables, summary=script.get("Summary", ""))
