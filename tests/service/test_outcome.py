"""The document of `run --json`."""

from msgspec import to_builtins

from pipeyard.definition.model import ActionDeclaration, ActionTypeId, PipelineDeclaration, StageDeclaration
from pipeyard.engine.state import ErrorDetails
from pipeyard.engine.views import ActionView, ExecutionView, StageView
from pipeyard.service.outcome import executed


def declared(stage: str, action: str) -> StageDeclaration:
    type_id = ActionTypeId(category="Build", owner="Custom", provider="Scripted", version="1")
    return StageDeclaration(name=stage, actions=[ActionDeclaration(name=action, action_type_id=type_id)])


def test_the_document_of_a_run_has_the_promised_members() -> None:
    declaration = PipelineDeclaration(name="site", stages=[declared("Build", "Image"), declared("Deploy", "Ship")])
    broken = ActionView(
        name="Image",
        provider="Scripted",
        category="Build",
        status="Failed",
        error=ErrorDetails(code="JobFailed", message="broken"),
    )
    later = ActionView(name="Ship", provider="Scripted", category="Build")
    view = ExecutionView(
        pipeline="site",
        execution_id="e1",
        version=1,
        status="Failed",
        is_live=False,
        stages=[
            StageView(name="Build", status="Failed", actions=[broken]),
            StageView(name="Deploy", status=None, actions=[later]),
        ],
        published=[],
        number=1,
        mode="SUPERSEDED",
        type="STANDARD",
        trigger="StartPipelineExecution",
    )
    shown = to_builtins(executed(view, declaration))
    assert {key: shown[key] for key in ("pipeline", "execution_id", "status", "published")} == {
        "pipeline": "site", "execution_id": "e1", "status": "Failed", "published": [],
    }  # fmt: skip
    stage = shown["stages"][0]
    assert (stage["name"], stage["status"]) == ("Build", "Failed")
    promised = {
        "name": "Image",
        "provider": "Scripted",
        "status": "Failed",
        "summary": "",
        "output_variables": {},
        "error": {"message": "broken", "place": None, "hint": ""},
    }
    assert {key: stage["actions"][0][key] for key in promised} == promised
    assert shown["stages"][1]["status"] is None
