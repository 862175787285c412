"""The action types that the service knows: their artifacts, configuration keys and output variables.

Source: CodePipeline User Guide, "Action structure reference" (each provider's page) and "Pipeline structure
reference" ("Number of input and output artifacts for each action type").
"""

from collections.abc import Mapping

from msgspec import Struct

from pipeyard.definition.model import ActionTypeId


class Setting(Struct, frozen=True, kw_only=True):
    """One configuration key. `values`: all that it may hold. `numbers`: the least and the most."""

    required: bool = False
    values: tuple[str, ...] = ()
    numbers: tuple[int, int] | None = None


class Provider(Struct, frozen=True, kw_only=True):
    """One action type. `inputs` and `outputs` are the least and most artifacts.

    `settings` None: the keys are not checked. `variables` None: the action decides at run time what it puts out.
    """

    category: str
    provider: str
    owner: str = "AWS"
    inputs: tuple[int, int] = (0, 5)
    outputs: tuple[int, int] = (0, 5)
    settings: Mapping[str, Setting] | None = None
    variables: tuple[str, ...] | None = ()
    v2_only: bool = False


_FREE = Setting()
_NEEDED = Setting(required=True)
_SWITCH = Setting(values=("true", "false"))
_FORMAT = Setting(values=("CODE_ZIP", "CODEBUILD_CLONE_REF"))
_THRESHOLD = Setting(numbers=(0, 10**9))

_CODEBUILD = {
    "ProjectName": _NEEDED,
    "PrimarySource": _FREE,
    "BatchEnabled": _SWITCH,
    "BuildspecOverride": _FREE,
    "CombineArtifacts": _SWITCH,
    "EnvironmentVariables": _FREE,
}
_STACK_SET_RATES = dict.fromkeys(
    (
        "FailureTolerancePercentage",
        "FailureToleranceCount",
        "MaxConcurrentPercentage",
        "MaxConcurrentCount",
        "ConcurrencyMode",
        "CallAs",
    ),
    _FREE,
)
_TO_ECS = {f"Image{number}{part}": _FREE for number in ("", *range(1, 5)) for part in ("ArtifactName", "ContainerName")}

SOURCES = (
    Provider(
        category="Source",
        provider="S3",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "S3Bucket": _NEEDED,
            "S3ObjectKey": _NEEDED,
            "PollForSourceChanges": _SWITCH,
            "AllowOverrideForS3ObjectKey": _SWITCH,
        },
        variables=("BucketName", "ETag", "ObjectKey", "VersionId"),
    ),
    Provider(
        category="Source",
        provider="ECR",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={"RepositoryName": _NEEDED, "ImageTag": _FREE},
        variables=("ImageDigest", "ImageTag", "ImageURI", "RegistryId", "RepositoryName"),
    ),
    Provider(
        category="Source",
        provider="CodeCommit",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "RepositoryName": _NEEDED,
            "BranchName": _NEEDED,
            "PollForSourceChanges": _SWITCH,
            "OutputArtifactFormat": _FORMAT,
        },
        variables=("AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitterDate", "RepositoryName"),
    ),
    Provider(
        category="Source",
        provider="CodeStarSourceConnection",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "ConnectionArn": _NEEDED,
            "FullRepositoryId": _NEEDED,
            "BranchName": _NEEDED,
            "OutputArtifactFormat": _FORMAT,
            "DetectChanges": _SWITCH,
        },
        variables=(
            "AuthorDate",
            "AuthorDisplayName",
            "AuthorEmail",
            "AuthorId",
            "BranchName",
            "CommitId",
            "CommitMessage",
            "ConnectionArn",
            "FullRepositoryName",
            "ProviderType",
        ),
    ),
    Provider(
        category="Source",
        owner="ThirdParty",
        provider="GitHub",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "Owner": _NEEDED,
            "Repo": _NEEDED,
            "Branch": _NEEDED,
            "OAuthToken": _NEEDED,
            "PollForSourceChanges": _SWITCH,
        },
        variables=(
            "AuthorDate",
            "BranchName",
            "CommitId",
            "CommitMessage",
            "CommitUrl",
            "CommitterDate",
            "RepositoryName",
        ),
    ),
)

BUILDERS = (
    Provider(category="Build", provider="CodeBuild", inputs=(1, 5), settings=_CODEBUILD, variables=None),
    Provider(category="Test", provider="CodeBuild", inputs=(1, 5), settings=_CODEBUILD, variables=None),
    Provider(
        category="Build",
        provider="ECRBuildAndPublish",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={
            "ECRRepositoryName": _NEEDED,
            "DockerFilePath": _FREE,
            "ImageTags": _FREE,
            "RegistryType": Setting(values=("private", "public")),
        },
        variables=("ECRImageDigestId", "ECRRepositoryName"),
        v2_only=True,
    ),
    Provider(
        category="Compute",
        provider="Commands",
        inputs=(1, 10),
        outputs=(0, 1),
        variables=None,
        v2_only=True,
    ),
    Provider(category="Test", provider="DeviceFarm", inputs=(1, 1), outputs=(0, 0)),
    Provider(category="Test", owner="ThirdParty", provider="BlazeMeter", inputs=(1, 1), outputs=(0, 0)),
    Provider(category="Test", owner="ThirdParty", provider="GhostInspector", inputs=(0, 5), outputs=(0, 5)),
    Provider(category="Test", owner="ThirdParty", provider="StormRunner", inputs=(0, 5), outputs=(0, 5)),
    Provider(category="Test", owner="ThirdParty", provider="Runscope", inputs=(0, 5), outputs=(0, 5)),
)

DEPLOYERS = (
    Provider(
        category="Deploy",
        provider="S3",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={
            "BucketName": _NEEDED,
            "Extract": Setting(required=True, values=("true", "false")),
            "ObjectKey": _FREE,
            "KMSEncryptionKeyARN": _FREE,
            "CannedACL": _FREE,
            "CacheControl": _FREE,
        },
    ),
    Provider(
        category="Deploy",
        provider="CloudFormation",
        inputs=(0, 10),
        outputs=(0, 1),
        settings={
            "ActionMode": Setting(
                required=True,
                values=(
                    "CREATE_UPDATE",
                    "DELETE_ONLY",
                    "REPLACE_ON_FAILURE",
                    "CHANGE_SET_REPLACE",
                    "CHANGE_SET_EXECUTE",
                ),
            ),
            "StackName": _NEEDED,
            "Capabilities": _FREE,
            "ChangeSetName": _FREE,
            "RoleArn": _FREE,
            "TemplatePath": _FREE,
            "OutputFileName": _FREE,
            "ParameterOverrides": _FREE,
            "TemplateConfiguration": _FREE,
        },
        variables=None,
    ),
    Provider(
        category="Deploy",
        provider="CloudFormationStackSet",
        inputs=(1, 10),
        outputs=(0, 0),
        settings={
            "StackSetName": _NEEDED,
            "TemplatePath": _NEEDED,
            "Description": _FREE,
            "Parameters": _FREE,
            "Capabilities": _FREE,
            "PermissionModel": Setting(values=("SELF_MANAGED", "SERVICE_MANAGED")),
            "AdministrationRoleArn": _FREE,
            "ExecutionRoleName": _FREE,
            "OrganizationsAutoDeployment": _FREE,
            "DeploymentTargets": _FREE,
            "Regions": _FREE,
            **_STACK_SET_RATES,
        },
        variables=("OperationId", "StackSetId"),
    ),
    Provider(
        category="Deploy",
        provider="CloudFormationStackInstances",
        inputs=(0, 10),
        outputs=(0, 0),
        settings={
            "StackSetName": _NEEDED,
            "DeploymentTargets": _NEEDED,
            "Regions": _NEEDED,
            "ParameterOverrides": _FREE,
            **_STACK_SET_RATES,
        },
        variables=("OperationId", "StackSetId"),
    ),
    Provider(
        category="Deploy",
        provider="CodeDeploy",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={"ApplicationName": _NEEDED, "DeploymentGroupName": _NEEDED},
    ),
    Provider(
        category="Deploy",
        provider="CodeDeployToECS",
        inputs=(1, 5),
        outputs=(0, 0),
        settings={
            "ApplicationName": _NEEDED,
            "DeploymentGroupName": _NEEDED,
            "TaskDefinitionTemplateArtifact": _NEEDED,
            "AppSpecTemplateArtifact": _NEEDED,
            "TaskDefinitionTemplatePath": _FREE,
            "AppSpecTemplatePath": _FREE,
            **_TO_ECS,
        },
    ),
    Provider(
        category="Deploy",
        provider="ECS",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={
            "ClusterName": _NEEDED,
            "ServiceName": _NEEDED,
            "FileName": _FREE,
            "DeploymentTimeout": Setting(numbers=(1, 60)),
        },
    ),
    Provider(category="Deploy", provider="EC2", inputs=(1, 1), outputs=(0, 0), v2_only=True),
    Provider(category="Deploy", provider="EKS", inputs=(1, 1), outputs=(0, 0), v2_only=True, variables=None),
    Provider(
        category="Deploy",
        provider="ElasticBeanstalk",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={"ApplicationName": _NEEDED, "EnvironmentName": _NEEDED},
    ),
    Provider(category="Deploy", provider="Lambda", inputs=(0, 1), v2_only=True, variables=None),
    Provider(category="Deploy", provider="OpsWorks", inputs=(1, 1), outputs=(0, 0)),
    Provider(category="Deploy", provider="ServiceCatalog", inputs=(1, 1), outputs=(0, 0)),
    Provider(
        category="Deploy",
        provider="AppConfig",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={
            "Application": _NEEDED,
            "Environment": _NEEDED,
            "ConfigurationProfile": _NEEDED,
            "InputArtifactConfigurationPath": _NEEDED,
            "DeploymentStrategy": _NEEDED,
        },
    ),
    Provider(
        category="Deploy",
        owner="ThirdParty",
        provider="AlexaSkillsKit",
        inputs=(1, 2),
        outputs=(0, 0),
        settings={"ClientId": _NEEDED, "ClientSecret": _NEEDED, "RefreshToken": _NEEDED, "SkillId": _NEEDED},
    ),
)

OTHERS = (
    Provider(
        category="Approval",
        provider="Manual",
        inputs=(0, 0),
        outputs=(0, 0),
        settings={"CustomData": _FREE, "ExternalEntityLink": _FREE, "NotificationArn": _FREE},
    ),
    Provider(
        category="Invoke",
        provider="Lambda",
        settings={"FunctionName": _NEEDED, "UserParameters": _FREE},
        variables=None,
    ),
    Provider(
        category="Invoke",
        provider="StepFunctions",
        inputs=(0, 1),
        outputs=(0, 1),
        settings={
            "StateMachineArn": _NEEDED,
            "ExecutionNamePrefix": _FREE,
            "InputType": Setting(values=("Literal", "FilePath")),
            "Input": _FREE,
        },
        variables=("ExecutionArn", "StateMachineArn"),
    ),
    Provider(
        category="Invoke",
        provider="InspectorScan",
        inputs=(0, 1),
        outputs=(0, 1),
        settings={
            "InspectorRunMode": Setting(required=True, values=("ECRImageScan", "SourceCodeScan")),
            "ECRRepositoryName": _FREE,
            "ImageTag": _FREE,
            "CriticalThreshold": _THRESHOLD,
            "HighThreshold": _THRESHOLD,
            "MediumThreshold": _THRESHOLD,
            "LowThreshold": _THRESHOLD,
        },
        variables=("HighestScannedSeverity",),
        v2_only=True,
    ),
    Provider(
        category="Invoke",
        provider="CodePipeline",
        inputs=(0, 0),
        outputs=(0, 0),
        settings={"PipelineName": _NEEDED, "SourceRevisions": _FREE, "Variables": _FREE},
        variables=None,
        v2_only=True,
    ),
    Provider(category="Invoke", owner="ThirdParty", provider="Snyk", variables=None),
)

PROVIDERS: Mapping[tuple[str, str, str], Provider] = {
    (known.category, known.owner, known.provider): known for known in (*SOURCES, *BUILDERS, *DEPLOYERS, *OTHERS)
}
"""By category, owner and provider; every one has version 1."""


def provider_of(type_id: ActionTypeId) -> Provider | None:
    return PROVIDERS.get((type_id.category, type_id.owner, type_id.provider))
