"""From the text of a buildspec to the model, every problem at its line.

Source: CodeBuild User Guide, "Build specification reference for CodeBuild".
"""

import re
from typing import Literal, cast, get_args

from pipeyard.buildspec.batch_reader import read_batch
from pipeyard.buildspec.model import (
    PHASES,
    Artifact,
    Artifacts,
    Buildspec,
    Cache,
    Env,
    OnFailure,
    Phase,
    PhaseName,
    Proxy,
    ReportFormat,
    ReportGroup,
    ShellCommand,
)
from pipeyard.buildspec.nodes import Complaints
from pipeyard.definition.documents import Items, Leaf, Node, Table, parse_document
from pipeyard.errors import InputError, InvalidDefinition, Place

_TOP = ("version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache")
_PHASE = ("run-as", "on-failure", "runtime-versions", "commands", "finally")
_ENV = (
    "shell", "variables", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper",
)  # fmt: skip
_ARTIFACT = (
    "files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks", "s3-prefix", "type",
    "secondary-artifacts",
)  # fmt: skip
_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "powershell.exe", "cmd.exe")
_FORMATS: tuple[str, ...] = get_args(ReportFormat)
_RETRIES = 3


def read_buildspec(text: str, file: str) -> Buildspec:
    """Raises InputError for text that is no YAML, and InvalidDefinition with every error of a wrong buildspec."""
    complaints = Complaints()
    root = parse_document(text, file)
    if not isinstance(root, Table):
        raise InputError(
            "a buildspec is a mapping with version and phases", place=root.place, hint="begin with `version: 0.2`"
        )
    complaints.known(root, "a buildspec", _TOP)
    found = Buildspec(
        version=_version(root, complaints),
        run_as=complaints.text(root, "run-as"),
        env=_env(root, complaints),
        proxy=_proxy(root, complaints),
        phases=_phases(root, complaints),
        reports=_reports(root, complaints),
        artifacts=_artifacts(root, complaints),
        cache=_cache(root, complaints),
        batch=read_batch(root, complaints),
        problems=(),
    )
    problems = tuple(complaints.problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise InvalidDefinition(f"the buildspec is wrong: {errors[0].message}", problems, hint=errors[0].hint)
    from msgspec import structs

    return structs.replace(found, problems=problems)


def _version(root: Table, complaints: Complaints) -> Literal["0.1", "0.2"]:
    node = root.get("version")
    if node is None:
        complaints.error("version is missing", root.place, hint="begin with `version: 0.2`")
        return "0.2"
    told = node.text if isinstance(node, Leaf) else ""
    if told not in ("0.1", "0.2"):
        complaints.error(f"version {told!r} is none that CodeBuild knows", node.place, hint="write `version: 0.2`")
    return "0.1" if told == "0.1" else "0.2"


def _env(root: Table, complaints: Complaints) -> Env:
    table = complaints.table(root.get("env"), "env")
    if table is None:
        return Env()
    complaints.known(table, "env", _ENV)
    shell = complaints.text(table, "shell")
    if shell and shell not in _SHELLS:
        place = table.entries["shell"].place
        complaints.error(f"{shell!r} is no shell of CodeBuild's", place, hint="write sh or bash")
    if shell in ("powershell.exe", "cmd.exe"):
        complaints.error(f"{shell} needs Windows", table.entries["shell"].place, hint="write sh or bash")
    return Env(
        shell=shell.removeprefix("/bin/"),
        variables=complaints.variables(table.get("variables"), "variables"),
        parameter_store=complaints.variables(table.get("parameter-store"), "parameter-store"),
        secrets_manager=complaints.variables(table.get("secrets-manager"), "secrets-manager"),
        exported_variables=complaints.texts(table, "exported-variables"),
        git_credential_helper=complaints.truth(table, "git-credential-helper"),
    )


def _proxy(root: Table, complaints: Complaints) -> Proxy:
    table = complaints.table(root.get("proxy"), "proxy")
    if table is None:
        return Proxy()
    complaints.known(table, "proxy", ("upload-artifacts", "logs"))
    return Proxy(upload_artifacts=complaints.truth(table, "upload-artifacts"), logs=complaints.truth(table, "logs"))


def _phases(root: Table, complaints: Complaints) -> tuple[Phase, ...]:
    table = complaints.table(root.get("phases"), "phases")
    if table is None:
        if root.get("batch") is None:
            complaints.error("phases is missing", root.place, hint="write at least a build phase with commands")
        return ()
    for name in table.entries:
        if name not in PHASES:
            complaints.error(
                f"{name!r} is no phase of a build", table.key_place(name), hint=f"phases are {', '.join(PHASES)}"
            )
    return tuple(
        _phase(name, body, table.key_place(name), complaints)
        for name in PHASES
        if (body := table.get(name)) is not None
    )


def _phase(name: PhaseName, node: Node, place: Place, complaints: Complaints) -> Phase:
    table = complaints.table(node, f"phase {name}")
    if table is None:
        return Phase(name=name, place=place)
    complaints.known(table, f"phase {name}", _PHASE)
    commands, finally_ = _commands(table, "commands", complaints), _commands(table, "finally", complaints)
    runtimes = complaints.variables(table.get("runtime-versions"), "runtime-versions")
    if not commands and not finally_ and not runtimes:
        complaints.error(f"phase {name} has no commands", place, hint="leave the phase out, or give it commands")
    if runtimes and name != "install":
        complaints.warning("runtime-versions counts in phase install only", table.key_place("runtime-versions"))
    return Phase(
        name=name,
        place=place,
        run_as=complaints.text(table, "run-as"),
        on_failure=_on_failure(table, complaints),
        commands=commands,
        finally_=finally_,
        runtime_versions=runtimes,
    )


def _commands(table: Table, key: str, complaints: Complaints) -> tuple[ShellCommand, ...]:
    node = table.get(key)
    if node is None or (isinstance(node, Leaf) and node.value is None):
        return ()
    found = []
    for number, item in enumerate(node.nodes if isinstance(node, Items) else (node,)):
        if isinstance(item, Leaf) and item.value is not None:
            found.append(ShellCommand(item.text, item.place))
        elif isinstance(item, Table):
            complaints.error(
                f"{key}[{number}] is a mapping and no text",
                item.place,
                hint="the command holds ': ', which YAML reads as a key: put it in quotes, or write it after '- |'",
            )
        else:
            complaints.error(f"{key}[{number}] is no text", item.place)
    return tuple(found)


def _on_failure(table: Table, complaints: Complaints) -> OnFailure | None:
    told = complaints.text(table, "on-failure")
    if not told:
        return None
    if told in ("ABORT", "CONTINUE"):
        return OnFailure(action="ABORT" if told == "ABORT" else "CONTINUE")
    place = table.entries["on-failure"].place
    found = re.fullmatch(r"RETRY(?:-(?P<count>\d+))?(?:-(?P<pattern>.+))?", told, re.DOTALL)
    if found is None:
        complaints.error(
            f"on-failure cannot be {told!r}", place, hint="ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex"
        )
        return None
    count = int(found["count"]) if found["count"] else _RETRIES
    if count > 100:
        complaints.error("a build is retried 100 times at most", place)
    pattern = found["pattern"] or ".*"
    try:
        re.compile(pattern)
    except re.error as error:
        complaints.error(f"on-failure has a wrong regular expression: {error}", place)
    return OnFailure(action="RETRY", retries=count, pattern=pattern)


def _reports(root: Table, complaints: Complaints) -> tuple[ReportGroup, ...]:
    table = complaints.table(root.get("reports"), "reports")
    found = []
    for name, node in table.entries.items() if table else ():
        group = complaints.table(node, f"report group {name}")
        if group is None or table is None:
            continue
        complaints.known(group, "a report group", ("files", "base-directory", "discard-paths", "file-format"))
        told = complaints.text(group, "file-format").upper() or "JUNITXML"
        if told not in _FORMATS:
            place = group.entries["file-format"].place
            complaints.error(f"{told} is no format of reports", place, hint=f"known are {', '.join(_FORMATS)}")
            told = "JUNITXML"
        files = complaints.texts(group, "files")
        if not files:
            complaints.error(f"report group {name} names no files", table.key_place(name))
        found.append(
            ReportGroup(
                name=name,
                place=table.key_place(name),
                files=files,
                base_directory=complaints.text(group, "base-directory"),
                discard_paths=complaints.truth(group, "discard-paths"),
                file_format=cast("ReportFormat", told),
            )
        )
    return tuple(found)


def _artifacts(root: Table, complaints: Complaints) -> Artifacts:
    table = complaints.table(root.get("artifacts"), "artifacts")
    if table is None:
        return Artifacts()
    complaints.known(table, "artifacts", _ARTIFACT)
    others = complaints.table(table.get("secondary-artifacts"), "secondary-artifacts")
    secondary = {}
    for name, node in others.entries.items() if others else ():
        body = complaints.table(node, f"secondary artifact {name}")
        if body is not None:
            secondary[name] = _artifact(body, f"secondary artifact {name}", complaints)
    primary = None
    if table.get("files") is not None or not secondary:
        primary = _artifact(table, "artifacts", complaints)
    return Artifacts(primary=primary, secondary=secondary)


def _artifact(table: Table, what: str, complaints: Complaints) -> Artifact:
    files = complaints.texts(table, "files")
    if not files:
        complaints.error(f"{what} names no files", table.place, hint="write `files: ['**/*']` for everything")
    return Artifact(
        place=table.place,
        files=files,
        name=complaints.text(table, "name"),
        base_directory=complaints.text(table, "base-directory"),
        discard_paths=complaints.truth(table, "discard-paths"),
        exclude_paths=complaints.texts(table, "exclude-paths"),
        enable_symlinks=complaints.truth(table, "enable-symlinks"),
        s3_prefix=complaints.text(table, "s3-prefix"),
    )


def _cache(root: Table, complaints: Complaints) -> Cache:
    table = complaints.table(root.get("cache"), "cache")
    if table is None:
        return Cache()
    complaints.known(table, "cache", ("paths", "key", "fallback-keys", "action"))
    action = complaints.text(table, "action").lower()
    if action not in ("", "restore", "save"):
        complaints.error(f"a cache's action cannot be {action!r}", table.entries["action"].place)
    return Cache(
        paths=complaints.texts(table, "paths"),
        key=complaints.text(table, "key"),
        fallback_keys=complaints.texts(table, "fallback-keys"),
        action="restore" if action == "restore" else "save" if action == "save" else "",
    )
