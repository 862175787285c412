"""Triggers and their filters.

Source: CodePipeline User Guide, "Automate starting pipelines using triggers and filtering".
"""

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.model import Filter, GitConfiguration, PipelineDeclaration, PullRequestFilter, PushFilter
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.findings import Findings, listed

CONNECTION = "CodeStarSourceConnection"
_EVENTS = ("OPEN", "UPDATED", "CLOSED")


def check_triggers(pipeline: PipelineDeclaration, findings: Findings) -> None:
    if len(pipeline.triggers) > 50:
        findings.error("trigger", ("triggers",), "a pipeline has at most 50 triggers")
    connected = [action.name for _, action in pipeline.actions() if action.action_type_id.provider == CONNECTION]
    seen: set[str] = set()
    for index, trigger in enumerate(pipeline.triggers):
        keys: Keys = ("triggers", index)
        if trigger.provider_type != CONNECTION:
            findings.error(
                "trigger", (*keys, "providerType"), f"a trigger has the provider type {CONNECTION}, not others"
            )
        name = trigger.git_configuration.source_action_name
        place: Keys = (*keys, "gitConfiguration", "sourceActionName")
        if name not in connected:
            findings.error(
                "trigger",
                place,
                f"the trigger names {name}, which is no source action with a connection",
                hint=suggestion(name, connected) or (f"there are {listed(connected)}" if connected else ""),
            )
        if name in seen:
            findings.error("trigger", place, f"source action {name} has a trigger already")
        seen.add(name)
        _configuration(trigger.git_configuration, (*keys, "gitConfiguration"), findings)


def _configuration(git: GitConfiguration, keys: Keys, findings: Findings) -> None:
    for key, found in (("push", git.push), ("pullRequest", git.pull_request)):
        if len(found) > 3:
            findings.error("trigger", (*keys, key), f"a trigger has at most 3 {key} filters")
    for index, push in enumerate(git.push):
        _push(push, (*keys, "push", index), findings)
    for index, request in enumerate(git.pull_request):
        _pull_request(request, (*keys, "pullRequest", index), findings)


def _push(push: PushFilter, keys: Keys, findings: Findings) -> None:
    if push.tags is not None and (push.branches is not None or push.file_paths is not None):
        # The guide joins them with AND, and has an example with all three; the CDK refuses it.
        findings.warning("trigger", keys, "a push is of a tag or of a branch: a filter for both fits none")
    if push.tags is None and push.branches is None and push.file_paths is None:
        findings.error("trigger", keys, "a push filter needs tags, branches or file paths")
    for key, found in (("tags", push.tags), ("branches", push.branches), ("filePaths", push.file_paths)):
        _patterns(found, key, (*keys, key), findings)


def _pull_request(request: PullRequestFilter, keys: Keys, findings: Findings) -> None:
    if request.branches is None:
        findings.error("trigger", keys, "a pull request filter needs branches")
    for index, event in enumerate(request.events):
        if event not in _EVENTS:
            findings.error(
                "trigger", (*keys, "events", index), f"there is no event {event!r}", hint=f"there are {listed(_EVENTS)}"
            )
    for key, found in (("branches", request.branches), ("filePaths", request.file_paths)):
        _patterns(found, key, (*keys, key), findings)


def _patterns(found: Filter | None, key: str, keys: Keys, findings: Findings) -> None:
    if found is None:
        return
    if not found.includes and not found.excludes:
        findings.error("trigger", keys, f"{key} needs includes or excludes")
    for name, patterns in (("includes", found.includes), ("excludes", found.excludes)):
        if len(patterns) > 8:
            findings.error("trigger", (*keys, name), f"{name} has at most 8 patterns, not {len(patterns)}")
        for index, pattern in enumerate(patterns):
            if not 1 <= len(pattern) <= 255:
                findings.error("trigger", (*keys, name, index), "a pattern has 1 to 255 characters")
