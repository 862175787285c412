"""What CodePipeline does around actions: variables, approvals, several runs at once."""

import json

from pipeyard.service.yard import KEPT_EXECUTIONS
from tests.journeys.projects import DECLARATION, Project, make_project
from tests.journeys.yard import Yard

PLAIN = "FROM scratch\nCOPY names.txt /\n"


def changed(project: Project, **pipeline: object) -> None:
    declaration = json.loads(json.dumps(DECLARATION))
    declaration["pipeline"].update(pipeline)
    project.json.write_text(json.dumps(declaration))


def with_stage(*actions: dict[str, object]) -> list[dict[str, object]]:
    stages = json.loads(json.dumps(DECLARATION))["pipeline"]["stages"]
    return [stages[0], {"name": "Gate", "actions": list(actions)}, stages[1]]


APPROVAL: dict[str, object] = {
    "name": "Sign",
    "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
    "configuration": {"CustomData": "Ship #{SourceVars.CommitId}?"},
}


def test_a_pipeline_variable_reaches_the_tags_by_default_and_by_choice(yard: Yard) -> None:
    project = make_project(yard.folder, "", PLAIN)
    stages = json.loads(json.dumps(DECLARATION["pipeline"]["stages"]).replace("latest", "#{variables.Channel}"))
    changed(project, variables=[{"name": "Channel", "defaultValue": "edge"}], stages=stages)
    source = f"Checkout={project.repository}"
    yard.command("run", project.json, "--source", source)
    yard.command("run", project.json, "--source", source, "--variable", "Channel=stable")
    assert yard.tags("team/app") == sorted([project.commit, "edge", "stable"])


def test_an_approval_stops_a_run_that_nobody_answers_and_lets_an_approved_one_pass(yard: Yard) -> None:
    project = make_project(yard.folder, "", PLAIN)
    changed(project, stages=with_stage(APPROVAL))
    source = f"Checkout={project.repository}"
    stopped = yard.command("run", project.json, "--source", source, code=1)
    assert "--approve" in stopped.out
    assert yard.tags("team/app") == []
    passed = yard.command("run", project.json, "--source", source, "--approve", "--json").json()
    assert [stage["status"] for stage in passed["stages"]] == ["Succeeded"] * 3


def test_the_actions_of_one_run_order_run_before_those_of_the_next(yard: Yard) -> None:
    project = make_project(yard.folder, "", PLAIN)
    build = json.loads(json.dumps(DECLARATION))["pipeline"]["stages"][1]["actions"][0]
    second = {**build, "name": "Again", "runOrder": 2, "namespace": "Again"}
    second["configuration"] = {**build["configuration"], "ImageTags": "after,#{SourceVars.CommitId}"}
    stages = json.loads(json.dumps(DECLARATION))["pipeline"]["stages"]
    changed(project, stages=[stages[0], {"name": "Build", "actions": [build, second]}])
    ran = yard.command("run", project.json, "--source", f"Checkout={project.repository}", "--json").json()
    assert [action["status"] for action in ran["stages"][1]["actions"]] == ["Succeeded", "Succeeded"]
    assert len({image["digest"] for image in ran["published"]}) == 1
    assert yard.tags("team/app") == sorted([project.commit, "after", "latest"])


def test_until_ends_the_run_after_its_stage(yard: Yard) -> None:
    project = make_project(yard.folder, "", PLAIN)
    source = f"Checkout={project.repository}"
    ran = yard.command("run", project.template, "--source", source, "--until", "Source", "--json").json()
    assert [stage["name"] for stage in ran["stages"]] == ["Source"]
    assert yard.tags("team/app") == []


def test_two_runs_of_one_home_at_once_both_end_well(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    source = f"Checkout={project.repository}"
    running = [yard.start("run", project.template, "--source", source, "--json") for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in running]
    statuses = sorted(json.loads(out)["status"] for out, _ in ended)
    assert statuses in (["Succeeded", "Succeeded"], ["Succeeded", "Superseded"])
    assert yard.tags("team/app") == sorted([project.commit, "latest"])


def test_the_artifacts_of_old_executions_are_given_back_to_the_disk(yard: Yard) -> None:
    project = make_project(yard.folder, "", PLAIN)
    for _ in range(KEPT_EXECUTIONS + 2):
        yard.command("run", project.template, "--source", f"Checkout={project.repository}", "--until", "Source")
    assert len(list((yard.home / "artifacts").iterdir())) == KEPT_EXECUTIONS
    assert yard.home.stat().st_mode & 0o777 == 0o700
