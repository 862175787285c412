"""ECRBuildAndPublish: an image is built from the Dockerfile in the input artifact and pushed under its tags.

Source: CodePipeline User Guide, "ECRBuildAndPublish build action reference".
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from msgspec import Struct, field

from pipeyard.actions.configuration import check_keys, read_configuration
from pipeyard.actions.contract import ActionRequest, ActionResult, ImageBuild, Tools
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed
from pipeyard.registry.reference import is_repository_name, is_tag


class EcrBuildAndPublishConfiguration(Struct, frozen=True, kw_only=True):
    repository_name: str = field(name="ECRRepositoryName")
    dockerfile_path: str = field(name="DockerFilePath", default=".")  # a folder or a file in the source
    image_tags: str = field(name="ImageTags", default="latest")  # comma-separated
    registry_type: Literal["private", "public"] = field(name="RegistryType", default="private")


class EcrBuildAndPublish:
    """Builds, and only then publishes; the Dockerfile's folder is the build context."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(
        category="Build", owner="AWS", provider="ECRBuildAndPublish", version="1"
    )

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(EcrBuildAndPublishConfiguration, configuration)

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        wanted = read_configuration(EcrBuildAndPublishConfiguration, request.configuration)
        if len(request.inputs) != 1:
            raise ActionFailed("ECRBuildAndPublish takes exactly one input artifact", hint="name one in InputArtifacts")
        if not is_repository_name(wanted.repository_name):
            raise ActionFailed(
                f"ECRRepositoryName {wanted.repository_name!r} is not a repository's name",
                hint="lower-case letters and digits, separated by '.', '_', '-' or '/'; without the registry's host",
            )
        (artifact,) = request.inputs.values()
        dockerfile = find_dockerfile(tools.artifacts.folder(artifact), wanted.dockerfile_path)
        published = tools.publish_image(
            ImageBuild(
                context=dockerfile.parent,
                dockerfile=dockerfile,
                repository=wanted.repository_name,
                tags=parse_tags(wanted.image_tags),
                registry_type=wanted.registry_type,
                epoch_s=artifact.created_s,
                step=request.action_execution_id,
            )
        )
        return ActionResult(
            variables={"ECRImageDigestId": published.digest, "ECRRepositoryName": wanted.repository_name},
            summary=f"{published.repository} {published.digest[:19]}",
            published=[published],
        )


def parse_tags(text: str) -> tuple[str, ...]:
    """`"a, b,a"` gives a and b. Raises ActionFailed for what no registry takes as a tag."""
    tags = split_tags(text)
    if not tags:
        raise ActionFailed("ImageTags names no tag", hint="leave ImageTags out to publish as latest")
    for tag in tags:
        if not is_tag(tag):
            raise ActionFailed(
                f"{tag!r} in ImageTags is not a tag",
                hint="up to 128 letters, digits, '_', '.', '-', neither '.' nor '-' first (a branch may hold a '/')",
            )
    return tags


def split_tags(text: str) -> tuple[str, ...]:
    """Each tag once, whatever it is: a `#{...}` may still stand in it."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def find_dockerfile(source: Path, path: str) -> Path:
    """The Dockerfile that `path` names, as a folder that holds one or as the file itself.

    Symbolic links may lead anywhere within the source and nowhere else. Raises ActionFailed.
    """
    relative = path.strip() or "."
    wanted = source / relative.lstrip("/")
    root = Path(os.path.realpath(source))
    found = Path(os.path.realpath(wanted))
    if not found.is_relative_to(root):
        raise ActionFailed(f"DockerFilePath {path!r} leads out of the source")
    if found.is_dir():
        wanted, found = wanted / "Dockerfile", Path(os.path.realpath(wanted / "Dockerfile"))
    if not found.is_relative_to(root):
        raise ActionFailed(f"the Dockerfile at {path!r} is a link that leads out of the source")
    if not found.is_file():
        others = sorted(str(p.relative_to(source)) for p in source.rglob("*Dockerfile*") if p.is_file())[:5]
        raise ActionFailed(
            f"there is no Dockerfile at {path!r} in the source",
            hint=f"found {', '.join(others)}" if others else "add a Dockerfile to the source, and commit it",
        )
    return Path(os.path.normpath(wanted))
