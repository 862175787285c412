"""What is legal and still wrong: tags that fail or say nothing, secrets in plain sight."""

import json
import re
from collections.abc import Iterator

from pipeyard.definition.expressions import Reference, parse_expression
from pipeyard.definition.model import ActionDeclaration, Definition, PipelineDeclaration
from pipeyard.definition.places import Keys, Places
from pipeyard.definition.rules.findings import Findings
from pipeyard.definition.rules.flow import steps
from pipeyard.errors import InputError, Problem

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_TAG_CHARACTERS = re.compile(r"[A-Za-z0-9_.-]*")
_FREE_TEXT = frozenset(
    {"AuthorDisplayName", "AuthorEmail", "AuthorDate", "BranchName", "CommitMessage", "CommitterDate", "ConnectionArn"}
    | {"FullRepositoryName"}
)
"""Variables of source actions whose value may hold what no tag may: spaces, slashes, colons."""

_SECRET_NAME = re.compile(r"passw(or)?d|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_NO_SECRET_NAME = re.compile(r"(arn|name|id|path|url|file|enabled|length|ttl)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{22,}|"
    r"\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET_KEYS = frozenset({"OAuthToken", "ClientSecret", "RefreshToken"})
_ADVICE = "keep it in Secrets Manager and name it there"


def check_habits(pipeline: PipelineDeclaration, hidden: frozenset[str], findings: Findings) -> None:
    """A value in `hidden` stands in no text: a parameter that is shown nowhere brought it."""
    for step in steps(pipeline):
        if step.action.action_type_id.provider == "ECRBuildAndPublish":
            _tags(step.action, step.keys, findings)
        _secrets(step.action, step.keys, hidden, findings)


def _tags(action: ActionDeclaration, keys: Keys, findings: Findings) -> None:
    here = (*keys, "configuration", "ImageTags")
    text = action.configuration.get("ImageTags", "latest")
    tags = [tag.strip() for tag in text.split(",")]
    if tags == ["latest"]:
        findings.warning(
            "latest-only",
            here,
            f"action {action.name} tags its image latest and nothing else: no earlier image can be found again",
            hint="add the commit, such as #{SourceVariables.CommitId}",
        )
    for tag in tags:
        _tag(tag, here, findings)


def _tag(tag: str, keys: Keys, findings: Findings) -> None:
    try:
        parts = parse_expression(tag)
    except InputError:
        return
    literal = [part for part in parts if isinstance(part, str)]
    if len(literal) == len(parts) and not _TAG.fullmatch(tag):
        findings.warning(
            "invalid-tag", keys, f"{tag!r} is no image tag: letters, digits, _, . and -, 128 characters at most"
        )
    elif any(not _TAG_CHARACTERS.fullmatch(part) for part in literal) or tag[:1] in (".", "-"):
        findings.warning("invalid-tag", keys, f"{tag!r} makes no image tag: it holds characters that no tag may")
    for part in parts:
        if isinstance(part, Reference) and part.variable in _FREE_TEXT:
            findings.warning(
                "tag-may-be-invalid",
                keys,
                f"{part} may hold characters that no image tag may, and then the build fails",
                hint="CommitId is always a tag",
            )


def _secrets(action: ActionDeclaration, keys: Keys, hidden: frozenset[str], findings: Findings) -> None:
    for key, value in action.configuration.items():
        if value in hidden:
            continue
        here = (*keys, "configuration", key)
        if key == "EnvironmentVariables":
            for name in _plain_secrets(value):
                findings.warning(
                    "secret-in-plain-text",
                    here,
                    f"{name} looks like a secret and stands in plain text",
                    hint="give it the type SECRETS_MANAGER or PARAMETER_STORE, with the secret's name as value",
                )
        elif (key in _SECRET_KEYS and not _is_elsewhere(value)) or _SECRET_VALUE.search(value):
            findings.warning("secret-in-plain-text", here, f"{key} holds a secret in plain text", hint=_ADVICE)
    for index, variable in enumerate(action.environment_variables):
        if variable.value in hidden:
            continue
        if variable.type == "PLAINTEXT" and _is_secret(variable.name, variable.value):
            findings.warning(
                "secret-in-plain-text",
                (*keys, "environmentVariables", index),
                f"{variable.name} looks like a secret and stands in plain text",
                hint="give it the type SECRETS_MANAGER, with the secret's name as value",
            )
    for index, command in enumerate(action.commands):
        if _SECRET_VALUE.search(command):
            findings.warning(
                "secret-in-plain-text",
                (*keys, "commands", index),
                "a command holds a secret in plain text",
                hint=_ADVICE,
            )


def _plain_secrets(text: str) -> Iterator[str]:
    """Names in a CodeBuild action's EnvironmentVariables, which is a JSON list in a string."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("type", "PLAINTEXT") == "PLAINTEXT":
            name, value = str(entry.get("name", "")), str(entry.get("value", ""))
            if _is_secret(name, value):
                yield name


def _is_secret(name: str, value: str) -> bool:
    if _SECRET_VALUE.search(value):
        return True
    named = bool(_SECRET_NAME.search(name)) and not _NO_SECRET_NAME.search(name)
    return named and bool(value) and not _is_elsewhere(value)


def _is_elsewhere(value: str) -> bool:
    """A value that only points at a secret."""
    return "{{resolve:" in value or "#{" in value or value.startswith("arn:") or set(value) <= {"*"}


def project_secrets(definition: Definition, places: Places) -> Iterator[Problem]:
    """Secrets in the environment of CodeBuild projects."""
    for index, project in enumerate(definition.projects):
        for variable in project.environment_variables:
            if variable.value in definition.hidden:
                continue
            if variable.type == "PLAINTEXT" and _is_secret(variable.name, variable.value):
                yield Problem(
                    "warning",
                    f"{variable.name} of CodeBuild project {project.name} looks like a secret and stands in plain text",
                    places[("projects", index)],
                    "give it the type SECRETS_MANAGER or PARAMETER_STORE, with the secret's name as value",
                    "secret-in-plain-text",
                )
