"""CodeStarSourceConnection: a branch of a git repository becomes an artifact.

Source: CodePipeline User Guide, "CodeStarSourceConnection for Bitbucket Cloud, GitHub, GitHub Enterprise Server,
GitLab.com, and GitLab self-managed actions".
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from msgspec import Struct, field, structs

from pipeyard.actions.configuration import check_keys, read_configuration
from pipeyard.actions.contract import ActionRequest, ActionResult, Tools
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed
from pipeyard.progress import StepOutput
from pipeyard.source import GitRevision, export, resolve

_PROVIDERS = {"github.com": "GitHub", "bitbucket.org": "Bitbucket", "gitlab.com": "GitLab"}


class CodeStarSourceConnectionConfiguration(Struct, frozen=True, kw_only=True):
    connection_arn: str = field(name="ConnectionArn")
    full_repository_id: str = field(name="FullRepositoryId")
    branch_name: str = field(name="BranchName")
    output_artifact_format: Literal["CODE_ZIP", "CODEBUILD_CLONE_REF"] = field(
        name="OutputArtifactFormat", default="CODE_ZIP"
    )
    detect_changes: str = field(name="DetectChanges", default="true")


class CodeStarSourceConnection:
    """Fetches the head of the branch, or the revision that the execution was started for."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(
        category="Source", owner="AWS", provider="CodeStarSourceConnection", version="1"
    )

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(CodeStarSourceConnectionConfiguration, configuration)

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        wanted = read_configuration(CodeStarSourceConnectionConfiguration, request.configuration)
        if not request.outputs:
            raise ActionFailed("a source action needs one output artifact", hint="add OutputArtifacts with a name")
        origin = tools.git_origin(request, wanted.full_repository_id, wanted.connection_arn, wanted.branch_name)
        step = request.action_execution_id
        if request.source_revision:
            origin = structs.replace(origin, ref=request.source_revision)
        revision = resolve(origin, tools.git_mirrors, tools.observe, tools.stop, step)
        summary = revision.message.split("\n", 1)[0]
        tools.observe(StepOutput(step, f"{origin.shown} {revision.commit_id[:12]} {summary}\n".encode()))
        folder = tools.workspace / "source"
        folder.mkdir()
        export(origin, revision.commit_id, folder, tools.git_mirrors, tools.observe, tools.stop)
        artifact = tools.artifacts.keep(
            request.outputs[0].name,
            folder,
            revision=revision.commit_id,
            summary=summary,
            created_s=revision.committed_s,
        )
        return ActionResult(
            outputs={artifact.name: artifact},
            variables=_variables(
                revision, wanted, _provider_type(request, wanted.connection_arn, origin.location, revision)
            ),
            summary=f"{revision.commit_id[:12]} {summary}",
        )


def _variables(
    revision: GitRevision, wanted: CodeStarSourceConnectionConfiguration, provider_type: str
) -> dict[str, str]:
    """Source: CodePipeline User Guide, "Variables reference". Git knows authors by address: that is the AuthorId."""
    return {
        "AuthorDate": revision.author_date,
        "AuthorDisplayName": revision.author_name,
        "AuthorEmail": revision.author_email,
        "AuthorId": revision.author_email,
        "BranchName": wanted.branch_name,
        "CommitId": revision.commit_id,
        "CommitMessage": revision.message.rstrip("\n"),
        "ConnectionArn": wanted.connection_arn,
        "FullRepositoryName": wanted.full_repository_id,
        "ProviderType": provider_type,
    }


def _provider_type(request: ActionRequest, connection_arn: str, location: str, revision: GitRevision) -> str:
    """The connection's own word; else by the host of the repository; `Git` where neither tells."""
    for connection in request.definition.connections:
        if connection.arn == connection_arn and connection.provider_type:
            return connection.provider_type
    for url in (location, revision.remote_url):
        host = urlsplit(url).hostname if "://" in url else url.partition("@")[2].partition(":")[0]
        if host in _PROVIDERS:
            return _PROVIDERS[host]
    return "Git"
