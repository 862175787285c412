"""ECR is the home's registry: what one of them does, the other shows."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeyard.registry.lifecycle import enforce_all
from tests.aws.conftest import ACCOUNT, Yard, code_of, open_yard
from tests.registry.running import OCI_INDEX, Client, digest_of, manifest


def logged_in(yard: Yard) -> Client:
    """The registry's client with the login that ECR gives."""
    data = yard.client("ecr").get_authorization_token()["authorizationData"][0]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    return Client(yard.port, f"Basic {data['authorizationToken']}")


def put(ecr: Any, tag: str, content: bytes = b"", repository: str = "app") -> str:
    text = manifest(content or tag.encode()).decode()
    answer = ecr.put_image(repositoryName=repository, imageManifest=text, imageTag=tag)
    assert answer["image"]["imageManifest"] == text
    return str(answer["image"]["imageId"]["imageDigest"])


def test_an_image_that_was_pushed_with_ecrs_login_is_described_by_the_api(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    digest, data = logged_in(yard).push_image("app", "v1", b"a layer")
    detail = ecr.describe_images(repositoryName="app")["imageDetails"][0]
    assert (detail["imageDigest"], detail["imageTags"]) == (digest, ["v1"])
    assert detail["imageSizeInBytes"] == yard.store.catalog.images("app")[0].image_bytes
    assert abs((datetime.now(UTC) - detail["imagePushedAt"]).total_seconds()) < 60
    got = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])
    assert got["images"][0]["imageManifest"] == data.decode()
    assert got["failures"][0]["failureCode"] == "ImageNotFound"


def test_an_image_that_was_put_by_the_api_is_pulled_from_the_registry(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    digest = put(ecr, "v1")
    assert logged_in(yard)("GET", "/v2/app/manifests/v1").headers["docker-content-digest"] == digest


@pytest.mark.parametrize("password", ["", "nonsense", "QVdTOjE6eA=="])
def test_a_password_that_ecr_did_not_give_opens_nothing(yard: Yard, password: str) -> None:
    login = base64.b64encode(f"AWS:{password}".encode()).decode()
    assert Client(yard.port, f"Basic {login}")("GET", "/v2/").status == 401


def test_ecrs_login_ends_after_twelve_hours(yard: Yard) -> None:
    client = logged_in(yard)
    assert client("GET", "/v2/").status == 200
    yard.clock.offset_ms = 12 * 3600 * 1000 + 1
    assert client("GET", "/v2/").status == 401


def test_a_repository_that_came_by_a_push_has_ecrs_defaults(yard: Yard) -> None:
    logged_in(yard).push_image("team/app", "v1", b"x")
    found = yard.client("ecr", "eu-west-1").describe_repositories()["repositories"][0]
    assert found["repositoryUri"] == f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team/app"
    assert (found["imageTagMutability"], found["encryptionConfiguration"]) == ("MUTABLE", {"encryptionType": "AES256"})


def test_a_repository_made_anew_does_not_inherit_tags_or_policy(yard: Yard) -> None:
    ecr = yard.client("ecr")
    made = ecr.create_repository(repositoryName="app", tags=[{"Key": "team", "Value": "a"}])["repository"]
    yard.store.catalog.delete_repository("app")
    yard.clock.offset_ms = 5
    logged_in(yard).push_image("app", "v1", b"x")
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == []


def test_tags_excluded_from_mutability_hold_for_pushes_and_for_the_api(yard: Yard) -> None:
    ecr = yard.client("ecr")
    filters = [{"filterType": "WILDCARD", "filter": "v*"}]
    ecr.create_repository(
        repositoryName="app",
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    client = logged_in(yard)
    for tag in ("v1", "latest"):
        client.push_image("app", tag, b"first")
    put(ecr, "latest", b"second")
    with pytest.raises(ClientError) as error:
        put(ecr, "v1", b"second")
    assert code_of(error) == "ImageTagAlreadyExistsException"
    assert client("PUT", "/v2/app/manifests/v1", manifest(b"third"), Content_Type=OCI_INDEX).status == 400
    shown = ecr.describe_repositories(repositoryNames=["app"])["repositories"][0]
    assert (shown["imageTagMutability"], shown["imageTagMutabilityExclusionFilters"]) == (
        "MUTABLE_WITH_EXCLUSION",
        filters,
    )


def test_moving_a_tag_leaves_the_other_image_untagged(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    first, second = put(ecr, "v1", b"first"), put(ecr, "v1", b"second")
    untagged = ecr.list_images(repositoryName="app", filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert untagged == [{"imageDigest": first}]
    assert ecr.list_images(repositoryName="app", filter={"tagStatus": "TAGGED"})["imageIds"] == [
        {"imageDigest": second, "imageTag": "v1"}
    ]


def test_an_announced_digest_must_be_that_of_the_manifests_bytes(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    text = manifest(b"x").decode()
    ecr.put_image(repositoryName="app", imageManifest=text, imageDigest=digest_of(text.encode()))
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName="app", imageManifest=text, imageDigest=digest_of(b"x"))
    assert code_of(error) == "ImageDigestDoesNotMatchException"


def test_the_size_of_a_list_of_images_is_that_of_the_largest_here_or_unknown(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    client = logged_in(yard)
    kind = "application/vnd.oci.image.manifest.v1+json"
    members = [client.push_image("app", tag, content) for tag, content in (("small", b"x"), ("large", b"x" * 9999))]
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX}
    index["manifests"] = [{"mediaType": kind, "digest": digest, "size": len(data)} for digest, data in members]
    known = put_document(ecr, index)
    index["manifests"] = [{"mediaType": kind, "digest": digest_of(b"elsewhere"), "size": 3}]
    unknown = put_document(ecr, index)
    sizes = {
        one["imageDigest"]: one.get("imageSizeInBytes")
        for one in ecr.describe_images(repositoryName="app")["imageDetails"]
    }
    assert sizes[known] == sizes[members[1][0]]
    assert sizes[unknown] is None


def put_document(ecr: Any, document: dict[str, Any]) -> str:
    answer = ecr.put_image(repositoryName="app", imageManifest=json.dumps(document))
    return str(answer["image"]["imageId"]["imageDigest"])


def test_deleting_the_last_tag_deletes_the_image(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    digest = put(ecr, "v1", b"x")
    ecr.put_image(repositoryName="app", imageManifest=manifest(b"x").decode(), imageTag="v2")
    for tag, left in (("v2", 1), ("v1", 0)):
        gone = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageTag": tag}])
        assert gone["imageIds"] == [{"imageDigest": digest, "imageTag": tag}]
        assert len(ecr.describe_images(repositoryName="app")["imageDetails"]) == left


def test_an_image_that_an_index_holds_is_not_deleted_without_it(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    digest = put(ecr, "amd64")
    kind = "application/vnd.oci.image.manifest.v1+json"
    member = {"mediaType": kind, "digest": digest, "size": len(manifest(b"amd64"))}
    put_document(ecr, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member]})
    answer = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageDigest": digest}])
    assert (answer["imageIds"], answer["failures"][0]["failureCode"]) == ([], "ImageReferencedByManifestList")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as lifetime:
        yield open_yard(tmp_path, lifetime, sparse=False)


def test_a_layer_uploaded_by_the_api_completes_an_image(strict: Yard) -> None:
    ecr = strict.client("ecr")
    ecr.create_repository(repositoryName="app")
    config = b"{}"
    with pytest.raises(ClientError) as missing:
        ecr.put_image(repositoryName="app", imageManifest=manifest(config).decode())
    assert code_of(missing) == "LayersNotFoundException"
    upload = ecr.initiate_layer_upload(repositoryName="app")["uploadId"]
    with pytest.raises(ClientError) as gap:
        ecr.upload_layer_part(
            repositoryName="app", uploadId=upload, partFirstByte=1, partLastByte=1, layerPartBlob=b"}"
        )
    assert code_of(gap) == "InvalidLayerPartException"
    for at, part in enumerate((b"{", b"}")):
        done = ecr.upload_layer_part(
            repositoryName="app", uploadId=upload, partFirstByte=at, partLastByte=at, layerPartBlob=part
        )
        assert done["lastByteReceived"] == at
    ecr.complete_layer_upload(repositoryName="app", uploadId=upload, layerDigests=[digest_of(config)])
    found = ecr.batch_check_layer_availability(
        repositoryName="app", layerDigests=[digest_of(config), digest_of(b"other")]
    )
    assert [each["layerAvailability"] for each in found["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    ecr.put_image(repositoryName="app", imageManifest=manifest(config).decode(), imageTag="v1")


def test_lists_come_in_pages(yard: Yard) -> None:
    ecr = yard.client("ecr")
    names = [f"app-{number}" for number in range(5)]
    for name in names:
        ecr.create_repository(repositoryName=name)
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
    assert [[each["repositoryName"] for each in found["repositories"]] for found in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]
    with pytest.raises(ClientError) as error:
        ecr.describe_repositories(nextToken="made up")
    assert code_of(error) == "InvalidParameterException"


def test_a_lifecycle_policy_is_the_registrys_and_its_preview_is_true(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    text = json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=text)
    record = yard.store.catalog.repository("app")
    assert record is not None
    assert record.lifecycle == text
    old, _ = put(ecr, "v1"), put(ecr, "v2")
    ecr.start_lifecycle_policy_preview(repositoryName="app")
    shown = ecr.get_lifecycle_policy_preview(repositoryName="app")
    assert (shown["status"], [each["imageDigest"] for each in shown["previewResults"]]) == ("COMPLETE", [old])
    with pytest.raises(ClientError) as error:
        ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=text.replace("expire", "keep"))
    assert code_of(error) == "InvalidParameterException"


def test_a_lifecycle_policy_tells_when_it_was_carried_out(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    enforce_all(yard.store)
    yard.clock.offset_ms = 1000
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    text = json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=text)
    assert ecr.get_lifecycle_policy(repositoryName="app")["lastEvaluatedAt"].timestamp() == 0
    yard.clock.offset_ms = 2000
    enforce_all(yard.store)
    told = ecr.get_lifecycle_policy(repositoryName="app")["lastEvaluatedAt"]
    assert abs(told.timestamp() - yard.clock() / 1000) < 30


def test_a_scan_without_a_scanner_fails_and_finds_nothing(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    put(ecr, "v1")
    ecr.start_image_scan(repositoryName="app", imageId={"imageTag": "v1"})
    found = ecr.describe_image_scan_findings(repositoryName="app", imageId={"imageTag": "v1"})
    assert found["imageScanStatus"]["status"] == "FAILED"
    assert "imageScanFindings" not in found


def test_of_many_who_make_one_repository_one_does(yard: Yard) -> None:
    clients = [yard.client("ecr") for _ in range(8)]

    def create(ecr: Any) -> str:
        try:
            return str(ecr.create_repository(repositoryName="app")["repository"]["repositoryName"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(create, clients))
    assert found == ["RepositoryAlreadyExistsException"] * 7 + ["app"]


def test_another_accounts_registry_is_not_this_one(yard: Yard) -> None:
    ecr = yard.client("ecr")
    ecr.create_repository(repositoryName="app")
    put(ecr, "v1")
    with pytest.raises(ClientError) as error:
        ecr.batch_delete_image(registryId="210987654321", repositoryName="app", imageIds=[{"imageTag": "v1"}])
    assert code_of(error) == "RepositoryNotFoundException"
    assert len(ecr.list_images(repositoryName="app")["imageIds"]) == 1
