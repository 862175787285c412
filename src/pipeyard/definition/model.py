"""A CodePipeline definition as one immutable value, with the names of the service's own API.

`api_document` of a PipelineDeclaration is the `pipeline` member of `aws codepipeline get-pipeline`. The model holds no
positions (see `places`) and knows no format: the same pipeline read from CloudFormation and from Terraform is equal.
Source: botocore's codepipeline model; CodePipeline User Guide, "Pipeline structure reference".
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct


class _Declared(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    pass


class ActionTypeId(_Declared, frozen=True, kw_only=True, omit_defaults=False):
    category: str  # Source, Build, Deploy, Test, Invoke, Approval, Compute
    owner: str  # AWS, ThirdParty, Custom
    provider: str
    version: str = "1"

    def __str__(self) -> str:
        return f"{self.category}/{self.owner}/{self.provider}/{self.version}"


class InputArtifact(_Declared, frozen=True, kw_only=True):
    name: str


class OutputArtifact(_Declared, frozen=True, kw_only=True):
    name: str
    files: list[str] = []


class EnvironmentVariable(_Declared, frozen=True, kw_only=True):
    name: str
    value: str
    type: str = "PLAINTEXT"


class ActionDeclaration(_Declared, frozen=True, kw_only=True):
    name: str
    action_type_id: ActionTypeId
    run_order: int = 1  # 1 to 999
    configuration: dict[str, str] = {}  # as declared: #{...} unresolved
    commands: list[str] = []
    output_artifacts: list[OutputArtifact] = []
    input_artifacts: list[InputArtifact] = []
    output_variables: list[str] = []
    role_arn: str | None = None
    region: str | None = None
    namespace: str | None = None
    timeout_in_minutes: int | None = None
    environment_variables: list[EnvironmentVariable] = []


class RuleTypeId(_Declared, frozen=True, kw_only=True, omit_defaults=False):
    category: str = "Rule"
    owner: str = "AWS"
    provider: str
    version: str = "1"


class RuleDeclaration(_Declared, frozen=True, kw_only=True):
    name: str
    rule_type_id: RuleTypeId
    configuration: dict[str, str] = {}
    commands: list[str] = []
    input_artifacts: list[InputArtifact] = []
    role_arn: str | None = None
    region: str | None = None
    timeout_in_minutes: int | None = None


class Condition(_Declared, frozen=True, kw_only=True):
    result: str | None = None  # ROLLBACK, FAIL, RETRY, SKIP
    rules: list[RuleDeclaration] = []


class RetryConfiguration(_Declared, frozen=True, kw_only=True):
    retry_mode: str | None = None  # FAILED_ACTIONS, ALL_ACTIONS


class FailureConditions(_Declared, frozen=True, kw_only=True):
    result: str | None = None
    retry_configuration: RetryConfiguration | None = None
    conditions: list[Condition] = []


class Conditions(_Declared, frozen=True, kw_only=True):
    """`onSuccess` and `beforeEntry`."""

    conditions: list[Condition] = []


class BlockerDeclaration(_Declared, frozen=True, kw_only=True, omit_defaults=False):
    name: str
    type: str = "Schedule"


class StageDeclaration(_Declared, frozen=True, kw_only=True):
    name: str
    blockers: list[BlockerDeclaration] = []
    actions: list[ActionDeclaration] = []
    on_failure: FailureConditions | None = None
    on_success: Conditions | None = None
    before_entry: Conditions | None = None


class EncryptionKey(_Declared, frozen=True, kw_only=True, omit_defaults=False):
    id: str
    type: str = "KMS"


class ArtifactStore(_Declared, frozen=True, kw_only=True):
    type: str = "S3"
    location: str
    encryption_key: EncryptionKey | None = None


class PipelineVariable(_Declared, frozen=True, kw_only=True):
    name: str
    default_value: str | None = None
    description: str | None = None


class Filter(_Declared, frozen=True, kw_only=True):
    includes: list[str] = []
    excludes: list[str] = []


class PushFilter(_Declared, frozen=True, kw_only=True):
    tags: Filter | None = None
    branches: Filter | None = None
    file_paths: Filter | None = None


class PullRequestFilter(_Declared, frozen=True, kw_only=True):
    events: list[str] = []
    branches: Filter | None = None
    file_paths: Filter | None = None


class GitConfiguration(_Declared, frozen=True, kw_only=True):
    source_action_name: str
    push: list[PushFilter] = []
    pull_request: list[PullRequestFilter] = []


class Trigger(_Declared, frozen=True, kw_only=True):
    provider_type: str = "CodeStarSourceConnection"
    git_configuration: GitConfiguration


class PipelineDeclaration(_Declared, frozen=True, kw_only=True):
    name: str
    role_arn: str | None = None
    artifact_store: ArtifactStore | None = None
    artifact_stores: dict[str, ArtifactStore] = {}
    stages: list[StageDeclaration] = []
    version: int = 1
    execution_mode: str = "SUPERSEDED"  # QUEUED, SUPERSEDED, PARALLEL
    pipeline_type: str = "V2"
    variables: list[PipelineVariable] = []
    triggers: list[Trigger] = []

    def actions(self) -> Iterator[tuple[StageDeclaration, ActionDeclaration]]:
        """Every action with its stage, in the order of declaration."""
        for stage in self.stages:
            for action in stage.actions:
                yield stage, action


def api_document(pipeline: PipelineDeclaration) -> dict[str, Any]:
    """The `pipeline` member of get-pipeline. What the service always prints is there, also where it is the default."""
    document: dict[str, Any] = msgspec.to_builtins(pipeline)
    document |= {
        "version": pipeline.version,
        "executionMode": pipeline.execution_mode,
        "pipelineType": pipeline.pipeline_type,
    }
    for store in (document.get("artifactStore"), *document.get("artifactStores", {}).values()):
        if store is not None:
            store["type"] = "S3"
    for trigger in document.get("triggers", []):
        trigger.setdefault("providerType", "CodeStarSourceConnection")
    for stage in document.get("stages", []):
        for action in stage.setdefault("actions", []):
            for key, empty in (("runOrder", 1), ("configuration", {}), ("inputArtifacts", []), ("outputArtifacts", [])):
                action.setdefault(key, empty)
            for variable in action.get("environmentVariables", []):
                variable.setdefault("type", "PLAINTEXT")
    return document


class EcrRepository(_Declared, frozen=True, kw_only=True):
    """Source: CloudFormation, AWS::ECR::Repository."""

    name: str
    image_tag_mutability: Literal["MUTABLE", "IMMUTABLE"] | str = "MUTABLE"
    lifecycle_policy_text: str | None = None
    scan_on_push: bool = False


class CodeBuildProject(_Declared, frozen=True, kw_only=True):
    """What a CodeBuild action needs of its project. Source: CodeBuild API, CreateProject."""

    name: str
    image: str = ""
    compute_type: str = ""
    environment_type: str = "LINUX_CONTAINER"
    privileged_mode: bool = False
    environment_variables: list[EnvironmentVariable] = []
    buildspec: str | None = None  # inline text, or a path within the source
    timeout_in_minutes: int | None = None
    cache_paths: list[str] = []


class Connection(_Declared, frozen=True, kw_only=True):
    """A connection to a git host. Source: CodeConnections API."""

    name: str
    arn: str
    provider_type: str = ""


class EcsService(_Declared, frozen=True, kw_only=True):
    """A service that a deploy action may name. Source: CloudFormation, AWS::ECS::Service."""

    name: str
    cluster: str = "default"


class DisabledTransition(_Declared, frozen=True, kw_only=True):
    """An inbound transition that is closed from the start. Source: CloudFormation, StageTransition."""

    pipeline: str
    stage: str
    reason: str = ""


class Definition(Struct, frozen=True, kw_only=True):
    """All that one input declares: its pipelines, and what surrounds and is used by them."""

    pipelines: tuple[PipelineDeclaration, ...] = ()
    repositories: tuple[EcrRepository, ...] = ()
    projects: tuple[CodeBuildProject, ...] = ()
    buckets: tuple[str, ...] = ()
    connections: tuple[Connection, ...] = ()
    services: tuple[EcsService, ...] = ()
    transitions: tuple[DisabledTransition, ...] = ()
    hidden: tuple[str, ...] = ()  # values that are shown nowhere (NoEcho parameters, sensitive variables)


def joined(definitions: Sequence[Definition]) -> Definition:
    """All that several definitions declare, in their order."""
    names = Definition.__struct_fields__
    return Definition(**{name: tuple(item for part in definitions for item in getattr(part, name)) for name in names})
