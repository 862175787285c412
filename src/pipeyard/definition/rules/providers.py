"""The action types that the service knows: their artifacts, configuration keys and output variables.

Source: CodePipeline User Guide, "Action structure reference" (each provider's page) and "Pipeline structure
reference" ("Number of input and output artifacts for each action type").
"""

from collections.abc import Mapping

from pipeyard.definition.model import ActionTypeId
from pipeyard.definition.rules.deployers import DEPLOYERS
from pipeyard.definition.rules.provider import FREE, NEEDED, SWITCH, Provider, Setting

_FORMAT = Setting(values=("CODE_ZIP", "CODEBUILD_CLONE_REF"))
_THRESHOLD = Setting(numbers=(0, 10**9))

_CODEBUILD = {
    "ProjectName": NEEDED,
    "PrimarySource": FREE,
    "BatchEnabled": SWITCH,
    "BuildspecOverride": FREE,
    "CombineArtifacts": SWITCH,
    "EnvironmentVariables": FREE,
}
SOURCES = (
    Provider(
        category="Source",
        provider="S3",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "S3Bucket": NEEDED,
            "S3ObjectKey": NEEDED,
            "PollForSourceChanges": SWITCH,
            "AllowOverrideForS3ObjectKey": SWITCH,
        },
        variables=("BucketName", "ETag", "ObjectKey", "VersionId"),
    ),
    Provider(
        category="Source",
        provider="ECR",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={"RepositoryName": NEEDED, "ImageTag": FREE},
        variables=("ImageDigest", "ImageTag", "ImageURI", "RegistryId", "RepositoryName"),
    ),
    Provider(
        category="Source",
        provider="CodeCommit",
        inputs=(0, 0),
        outputs=(1, 1),
        settings={
            "RepositoryName": NEEDED,
            "BranchName": NEEDED,
            "PollForSourceChanges": SWITCH,
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
            "ConnectionArn": NEEDED,
            "FullRepositoryId": NEEDED,
            "BranchName": NEEDED,
            "OutputArtifactFormat": _FORMAT,
            "DetectChanges": SWITCH,
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
            "Owner": NEEDED,
            "Repo": NEEDED,
            "Branch": NEEDED,
            "OAuthToken": NEEDED,
            "PollForSourceChanges": SWITCH,
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
            "ECRRepositoryName": NEEDED,
            "DockerFilePath": FREE,
            "ImageTags": FREE,
            "RegistryType": Setting(values=("private", "public")),
        },
        variables=("ECRImageDigestId", "ECRRepositoryName"),
    ),
    Provider(
        category="Compute",
        provider="Commands",
        inputs=(1, 10),
        outputs=(0, 1),
        settings={
            "EnvironmentType": Setting(values=("LINUX_CONTAINER", "WINDOWS_SERVER_2022_CONTAINER")),
            "ComputeType": Setting(values=("BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE")),
            "VpcId": FREE,
            "Subnets": FREE,
            "SecurityGroupIds": FREE,
        },
        variables=None,
    ),
    Provider(
        category="Test",
        provider="DeviceFarm",
        inputs=(1, 1),
        outputs=(0, 0),
        settings={
            "AppType": Setting(required=True, values=("iOS", "Android", "Web")),
            "ProjectId": NEEDED,
            "DevicePoolArn": NEEDED,
            "TestType": NEEDED,
            **dict.fromkeys(("App", "Test", "TestSpec", "JobTimeoutMinutes", "Latitude", "Longitude"), FREE),
            **dict.fromkeys(("CustomHostMachineArtifacts", "CustomDeviceArtifacts", "FuzzRandomizerSeed"), FREE),
            **dict.fromkeys(("FuzzEventCount", "FuzzEventThrottle"), FREE),
            **dict.fromkeys(("RecordAppPerformanceData", "RecordVideo", "UnmeteredDevicesOnly"), FREE),
            **{f"Radio{radio}Enabled": FREE for radio in ("Bluetooth", "Wifi", "Nfc", "Gps")},
        },
    ),
    Provider(category="Test", owner="ThirdParty", provider="BlazeMeter", inputs=(1, 1), outputs=(0, 0)),
    Provider(category="Test", owner="ThirdParty", provider="GhostInspector", inputs=(0, 5), outputs=(0, 5)),
    Provider(category="Test", owner="ThirdParty", provider="StormRunner", inputs=(0, 5), outputs=(0, 5)),
    Provider(category="Test", owner="ThirdParty", provider="Runscope", inputs=(0, 5), outputs=(0, 5)),
)

OTHERS = (
    Provider(
        category="Approval",
        provider="Manual",
        inputs=(0, 0),
        outputs=(0, 0),
        settings={"CustomData": FREE, "ExternalEntityLink": FREE, "NotificationArn": FREE},
    ),
    Provider(
        category="Invoke",
        provider="Lambda",
        settings={"FunctionName": NEEDED, "UserParameters": FREE},
        variables=None,
    ),
    Provider(
        category="Invoke",
        provider="StepFunctions",
        inputs=(0, 1),
        outputs=(0, 1),
        settings={
            "StateMachineArn": NEEDED,
            "ExecutionNamePrefix": FREE,
            "InputType": Setting(values=("Literal", "FilePath")),
            "Input": FREE,
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
            "ECRRepositoryName": FREE,
            "ImageTag": FREE,
            "CriticalThreshold": _THRESHOLD,
            "HighThreshold": _THRESHOLD,
            "MediumThreshold": _THRESHOLD,
            "LowThreshold": _THRESHOLD,
        },
        variables=("HighestScannedSeverity",),
    ),
    Provider(
        category="Invoke",
        provider="CodePipeline",
        inputs=(0, 0),
        outputs=(0, 0),
        settings={"PipelineName": NEEDED, "SourceRevisions": FREE, "Variables": FREE},
        variables=None,
    ),
    Provider(category="Invoke", owner="ThirdParty", provider="Snyk", variables=None),
)

PROVIDERS: Mapping[tuple[str, str, str], Provider] = {
    (known.category, known.owner, known.provider): known for known in (*SOURCES, *BUILDERS, *DEPLOYERS, *OTHERS)
}
"""By category, owner and provider; every one has version 1."""


def provider_of(type_id: ActionTypeId) -> Provider | None:
    return PROVIDERS.get((type_id.category, type_id.owner, type_id.provider))
