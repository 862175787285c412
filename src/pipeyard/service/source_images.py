"""The image that stands for an ECR source action: in the embedded registry, in ECR, or in any other registry."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from pipeyard.actions.contract import SourceImage
from pipeyard.errors import InputError, Place, RegistryError, located
from pipeyard.oci import digest_of, parse_digest
from pipeyard.oci.media_types import INDEXES
from pipeyard.registry.choosing import image_size
from pipeyard.registry.exchange import Document
from pipeyard.registry.manifests import examine
from pipeyard.registry.reference import Reference, parse_place
from pipeyard.service.ecr import PRIVATE_HOST, Clients, EcrRegistry, explained, session_clients
from pipeyard.service.images import Images, published_reference
from pipeyard.settings import Settings
from pipeyard.threads import NEVER, Stop

CONNECTED = "docker://"
"""What sets an image apart from a git repository among the connections: skopeo's word for a registry."""

if TYPE_CHECKING:
    from pipeyard.registry.client.copying import Shelf


def parse_source_image(text: str) -> Reference:
    """What `--source ACTION=` says of an ECR source; an empty tag is the action's own. Raises InputError."""
    return parse_place(text, default_tag="")


def connected_image(settings: Settings, repository: str) -> str:
    """The image that `connections` name for a repository of ECR, as `docker://IMAGE`; empty when they name none."""
    named = settings.connections.get(repository, "")
    return named.removeprefix(CONNECTED) if named.startswith(CONNECTED) else ""


def find_source_image(
    images: Images,
    reference: Reference,
    tag: str,
    revision: str = "",
    *,
    action: str = "ACTION",
    clients: Clients | None = None,
    stop: Stop = NEVER,
) -> SourceImage:
    """The image of a reference, of the action's own `tag` where the reference has neither tag nor digest.

    `revision` is the digest that the execution was started for: it counts, whatever the tag names by now. `action`
    is for hints. Raises InputError when there is no such image, RegistryError when the registry fails.
    """
    key = (parse_digest(revision) if revision else None) or reference.key or tag
    tag = reference.tag or tag
    if reference.host in ("", images.own_host):
        found = _embedded(images, reference.repository, key, tag, action)
    elif PRIVATE_HOST.fullmatch(reference.host):
        found = _in_ecr(clients or session_clients(), reference, key, tag)
    else:
        found = _elsewhere(images, reference, key, tag, stop)
    return structs.replace(found, uri=f"{found.name}@{found.digest}") if reference.digest else found


def source_reference(images: Images, publish: str, repository: str, given: str) -> Reference:
    """Where an ECR source action looks: what was told for it, what the connections name, else where images go.

    So a pipeline whose images go to one registry also starts from the images there. Raises InputError, RegistryError.
    """
    if given:
        return parse_source_image(given)
    if named := connected_image(images.settings, repository):
        with located(Place(f'connections."{repository}"')):
            return parse_source_image(named)
    if publish == "embedded":
        return Reference("", repository)
    if publish == "ecr":
        return EcrRegistry(clients=session_clients()).reference(repository, "private")
    return published_reference(publish, repository)


def _embedded(images: Images, repository: str, key: str, tag: str, action: str) -> SourceImage:
    catalog = images.store.catalog
    stored = catalog.manifest(repository, key)
    if stored is None:
        raise InputError(
            f"there is no image {_shown(Reference('', repository), key)}", hint=_hint(images, repository, action)
        )
    record = next((image for image in catalog.images(repository) if image.digest == stored.digest), None)
    from pipeyard.registry.client.shelves import StoreShelf

    return SourceImage(
        registry_id=images.settings.account_id,
        repository=repository,
        name=f"{images.own_host}/{repository}",
        tag=tag,
        uri=f"{images.own_host}/{repository}:{tag}",
        digest=stored.digest,
        size=_size(_documents(StoreShelf(images.store, repository), stored.digest)),
        tags=record.tags if record else (),
        pushed_ms=record.pushed_ms if record else 0,
    )


def _elsewhere(images: Images, reference: Reference, key: str, tag: str, stop: Stop) -> SourceImage:
    shelf = images.registries.repository(reference, stop=stop)
    documents = _documents(shelf, key)
    if not documents:
        raise InputError(f"there is no image {_shown(reference, key)}")
    return SourceImage(
        registry_id=reference.host,
        repository=reference.repository,
        name=reference.name,
        tag=tag,
        uri=f"{reference.name}:{tag}",
        digest=digest_of(documents[0].data),
        size=_size(documents),
        tags=(tag,) if ":" not in key else (),
    )


def _in_ecr(clients: Clients, reference: Reference, key: str, tag: str) -> SourceImage:
    """What ECR tells of the image that a tag or digest names. Raises InputError when there is none, RegistryError."""
    from botocore.exceptions import ClientError

    host = PRIVATE_HOST.fullmatch(reference.host)
    assert host is not None
    wanted = {"imageDigest": key} if ":" in key else {"imageTag": key}
    with explained(f"look for the image {reference.name}"):
        ecr = clients("ecr", host["region"])
        try:
            (found,) = ecr.describe_images(
                registryId=host["account"], repositoryName=reference.repository, imageIds=[wanted]
            )["imageDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ImageNotFoundException", "RepositoryNotFoundException"):
                raise
            raise InputError(
                f"there is no image {key} in {reference.name}: {error.response['Error']['Message']}"
            ) from error
    return SourceImage(
        registry_id=found["registryId"],
        repository=found["repositoryName"],
        name=reference.name,
        tag=tag,
        uri=f"{reference.name}:{tag}",
        digest=found["imageDigest"],
        size=found.get("imageSizeInBytes"),
        tags=tuple(found.get("imageTags", ())),
        pushed_ms=int(found["imagePushedAt"].timestamp() * 1000),
    )


def _documents(shelf: "Shelf", key: str) -> Sequence[Document]:
    """The manifest of a key, and of an index those of its images that are there; nothing when there is none."""
    root = shelf.document(key)
    if root is None:
        return ()
    members = examine(root.data, root.media_type).manifests
    return (root, *(found for member in members if (found := shelf.document(member)) is not None))


def _size(documents: Sequence[Document]) -> int | None:
    """Of a list of images that of the largest; None when none of them is there. Source: ECR API, ImageDetail."""
    root, *members = documents
    if root.media_type not in INDEXES:
        return image_size([root])
    return max((image_size([member]) for member in members), default=None)


def _hint(images: Images, repository: str, action: str) -> str:
    try:
        tags = images.store.catalog.tags(repository)
    except RegistryError:
        return f"publish it first, or name another registry's: --source {action}=HOST/{repository}"
    return f"{repository} has the tags {', '.join(tags[:10])}" if tags else "that repository has no tags"


def _shown(reference: Reference, key: str) -> str:
    return f"{reference.name}@{key}" if ":" in key else f"{reference.name}:{key}"
