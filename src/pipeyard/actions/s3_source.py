"""S3 (source): an object of a bucket becomes an artifact; a ZIP is unpacked, any other file is its only one.

Source: CodePipeline User Guide, "Amazon S3 source action reference" and "Variables reference".
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from msgspec import Struct, field

from pipeyard.actions.configuration import check_keys, read_configuration
from pipeyard.actions.contract import ActionRequest, ActionResult, Tools
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed
from pipeyard.progress import StepOutput


class S3SourceConfiguration(Struct, frozen=True, kw_only=True):
    bucket: str = field(name="S3Bucket")
    object_key: str = field(name="S3ObjectKey")
    allow_override: Literal["true", "false"] = field(name="AllowOverrideForS3ObjectKey", default="false")
    poll: str = field(name="PollForSourceChanges", default="true")


class S3Source:
    """Fetches the newest version of the object, or the version or key that the execution was started for."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Source", owner="AWS", provider="S3", version="1")

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(S3SourceConfiguration, configuration)

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        wanted = read_configuration(S3SourceConfiguration, request.configuration)
        if not request.outputs:
            raise ActionFailed("a source action needs one output artifact", hint="add OutputArtifacts with a name")
        key, version = wanted.object_key, request.source_revision
        if request.source_revision_type == "S3_OBJECT_KEY":
            if wanted.allow_override != "true":
                raise ActionFailed(
                    f"the execution was started for the key {version}, which this action does not allow",
                    hint="set AllowOverrideForS3ObjectKey to true",
                )
            key, version = version, ""
        folder = tools.workspace / "source"
        folder.mkdir()
        found = tools.fetch_object(request, bucket=wanted.bucket, key=key, version=version, folder=folder)
        tools.observe(StepOutput(request.action_execution_id, f"s3://{wanted.bucket}/{key} {found.etag}\n".encode()))
        revision = found.etag if found.version_id == "null" else found.version_id
        artifact = tools.artifacts.keep(
            request.outputs[0].name,
            folder,
            revision=revision,
            summary=f"s3://{wanted.bucket}/{key}",
            created_s=found.modified_s,
        )
        return ActionResult(
            outputs={artifact.name: artifact},
            variables={
                "BucketName": wanted.bucket,
                "ObjectKey": key,
                "ETag": found.etag,
                "VersionId": found.version_id,
            },
            summary=f"{key} {revision[:12]}",
        )
