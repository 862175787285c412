"""ECR (source): the image that a repository's tag names becomes an artifact that tells which one it is.

Source: CodePipeline User Guide, "Amazon ECR source action reference", "Image definitions file reference" and
"Variables reference". The file's ImageURI has the digest and the variable of that name the tag, as there.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from pipeyard.actions.configuration import check_keys, read_configuration
from pipeyard.actions.contract import ActionRequest, ActionResult, SourceImage, Tools
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed
from pipeyard.progress import StepOutput
from pipeyard.registry.reference import is_repository_name, is_tag

FILE = "imageDetail.json"


class EcrSourceConfiguration(Struct, frozen=True, kw_only=True):
    repository_name: str = field(name="RepositoryName")
    image_tag: str = field(name="ImageTag", default="latest")


class EcrSource:
    """Finds the image of the tag, or the digest that the execution was started for."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Source", owner="AWS", provider="ECR", version="1")

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(EcrSourceConfiguration, configuration)
        name, tag = configuration.get("RepositoryName", ""), configuration.get("ImageTag", "")
        if name.strip() and "#{" not in name and not is_repository_name(name):
            yield f"RepositoryName {name!r} is not a repository's name"
        if tag and "#{" not in tag and not is_tag(tag):
            yield f"ImageTag {tag!r} is not a tag"

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        wanted = read_configuration(EcrSourceConfiguration, request.configuration)
        for complaint in self.check(request.configuration):
            raise ActionFailed(complaint)
        if not request.outputs:
            raise ActionFailed("a source action needs one output artifact", hint="add OutputArtifacts with a name")
        tag = wanted.image_tag or "latest"
        image = tools.find_image(request, wanted.repository_name, tag)
        tools.observe(StepOutput(request.action_execution_id, f"{image.uri} {image.digest}\n".encode()))
        folder = tools.workspace / "source"
        folder.mkdir()
        (folder / FILE).write_text(json.dumps(_detail(image), indent=4) + "\n")
        artifact = tools.artifacts.keep(
            request.outputs[0].name,
            folder,
            revision=image.digest,
            summary=f"{image.repository}:{image.tag}",
            created_s=image.pushed_ms // 1000,
        )
        return ActionResult(
            outputs={artifact.name: artifact},
            variables={
                "RegistryId": image.registry_id,
                "RepositoryName": image.repository,
                "ImageTag": image.tag,
                "ImageDigest": image.digest,
                "ImageURI": image.uri,
            },
            summary=f"{image.repository}:{image.tag} {image.digest[:19]}",
        )


def _detail(image: SourceImage) -> dict[str, Any]:
    """As the service writes it: sizes as text, times as Java prints them. What a registry does not tell is left out."""
    detail: dict[str, Any] = {"ImageSizeInBytes": str(image.size)} if image.size is not None else {}
    detail |= {"ImageDigest": image.digest, "Version": "1.0"}
    if image.pushed_ms:
        moment = time.gmtime(image.pushed_ms / 1000)
        detail["ImagePushedAt"] = time.strftime(
            f"{_DAYS[moment.tm_wday]} {_MONTHS[moment.tm_mon - 1]} %d %H:%M:%S UTC %Y", moment
        )
    return detail | {
        "RegistryId": image.registry_id,
        "RepositoryName": image.repository,
        "ImageURI": f"{image.name}@{image.digest}",
        "ImageTags": list(image.tags),
    }


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # not in the words of this machine's locale
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
