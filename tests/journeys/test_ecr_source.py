"""A pipeline that starts from an image: in the embedded registry, in another one, in ECR."""

import json
from pathlib import Path

import pytest

from tests.journeys.yard import Yard
from tests.registry.running import Client, digest_of
from tests.registry_client.processes import own_registry
from tests.source.git_repositories import make_repository

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def pipeline(yard: Yard, tag: str = "1") -> Path:
    """Two sources, as such pipelines have; the image that is built is tagged by the variables of the other."""
    make_repository(yard.folder / "app", {"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})

    def action(name: str, category: str, provider: str, more: dict[str, object], **configuration: str) -> object:
        kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        return {"name": name, "actionTypeId": kind, "configuration": configuration, **more}

    checkout = action(
        "Checkout", "Source", "CodeStarSourceConnection", {"outputArtifacts": [{"name": "Code"}]},
        ConnectionArn="arn:aws:codeconnections:us-east-1:123456789012:connection/one", FullRepositoryId="team/app",
        BranchName="main",
    )  # fmt: skip
    base = action(
        "Base", "Source", "ECR", {"namespace": "Base", "outputArtifacts": [{"name": "Base"}]},
        RepositoryName="team/base", ImageTag=tag,
    )  # fmt: skip
    build = action(
        "Build", "Build", "ECRBuildAndPublish", {"inputArtifacts": [{"name": "Code"}]},
        ECRRepositoryName="built", ImageTags="on-#{Base.ImageTag}",
    )  # fmt: skip
    stages = [{"name": "Source", "actions": [checkout, base]}, {"name": "Build", "actions": [build]}]
    path = yard.folder / "pipeline.json"
    path.write_text(json.dumps({"pipeline": {"name": "p", "pipelineType": "V2", "stages": stages}}))
    return path


def run(yard: Yard, path: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    source = f"Checkout={yard.folder / 'app'}"
    return yard.command("run", path, "--source", source, *arguments, "--json", code=code).json()


def base_action(outcome: dict[str, object]) -> dict[str, object]:
    stages = outcome["stages"]
    assert isinstance(stages, list)
    found: dict[str, object] = stages[0]["actions"][1]
    return found


def test_the_image_of_the_embedded_registry_gives_its_digest_and_uri(yard: Yard) -> None:
    context = yard.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    yard.command("image", "build", context, "-t", "team/base:1", "-t", "team/base:also")
    (row,) = (
        row for row in yard.command("image", "ls", "--json").json()["imageDetails"] if "1" in row.get("imageTags", [])
    )
    outcome = run(yard, pipeline(yard))
    assert base_action(outcome)["output_variables"] == {
        "RegistryId": "123456789012",
        "RepositoryName": "team/base",
        "ImageTag": "1",
        "ImageDigest": row["imageDigest"],
        "ImageURI": f"{HOST}/team/base:1",
    }
    (file,) = yard.home.glob("artifacts/*/Base/imageDetail.json")
    detail = json.loads(file.read_text())
    assert detail["ImageURI"] == f"{HOST}/team/base@{row['imageDigest']}"
    assert (detail["ImageTags"], detail["ImageSizeInBytes"]) == (["1", "also"], str(row["imageSizeInBytes"]))
    assert yard.tags("built") == ["on-1"]


@pytest.mark.parametrize("how", ["told", "published"])
def test_the_image_of_another_registry_is_found_where_it_was_told_or_where_the_run_publishes(
    yard: Yard, how: str
) -> None:
    with own_registry(yard.folder / "other", "--anonymous", "push") as host:
        client = Client(int(host.rpartition(":")[2]))
        digest, _ = client.push_image("there/team/base", "1", b"a layer")
        told = ("--source", f"Base={host}/there/team/base") if how == "told" else ("--publish", f"{host}/there")
        variables = base_action(run(yard, pipeline(yard), *told))["output_variables"]
    assert variables == {
        "RegistryId": host,
        "RepositoryName": "there/team/base",
        "ImageTag": "1",
        "ImageDigest": digest,
        "ImageURI": f"{host}/there/team/base:1",
    }


def test_an_image_that_is_missing_is_named_with_what_there_is(yard: Yard) -> None:
    path = pipeline(yard)
    error = base_action(run(yard, path, code=1))["error"]
    assert isinstance(error, dict)
    assert error["message"] == "there is no image team/base:1"
    assert "--source Base=HOST/team/base" in error["hint"]
    yard.publish_base()
    error = base_action(run(yard, path, "--source", "Base=base:2", code=1))["error"]
    assert isinstance(error, dict)
    assert (error["message"], error["hint"]) == ("there is no image base:2", "base has the tags 1")


def test_a_source_that_is_no_images_name_is_refused_before_anything_runs(yard: Yard) -> None:
    source = f"Checkout={yard.folder / 'app'}"
    refused = yard.command("run", pipeline(yard), "--source", source, "--source", "Base=Not/A Name", code=2)
    assert "is not an image reference" in refused.err
    assert not (yard.home / "artifacts").exists()


def test_an_index_is_as_large_as_its_largest_image(yard: Yard) -> None:
    with own_registry(yard.folder / "other", "--anonymous", "push") as host:
        client = Client(int(host.rpartition(":")[2]))
        members = []
        for number, architecture in enumerate(("amd64", "arm64")):
            digest, data = client.push_image("base", architecture, b"x" * 1000 * (number + 1))
            platform = {"os": "linux", "architecture": architecture}
            kind = "application/vnd.oci.image.manifest.v1+json"
            members.append({"mediaType": kind, "digest": digest, "size": len(data), "platform": platform})
        index = json.dumps({"schemaVersion": 2, "manifests": members}).encode()
        kind = "application/vnd.oci.image.index.v1+json"
        assert client("PUT", "/v2/base/manifests/all", index, Content_Type=kind).status == 201
        outcome = run(yard, pipeline(yard), "--source", f"Base={host}/base:all")
    variables = base_action(outcome)["output_variables"]
    assert isinstance(variables, dict)
    assert variables["ImageDigest"] == digest_of(index)
    assert (variables["ImageTag"], variables["ImageURI"]) == ("all", f"{host}/base:all")
    (file,) = yard.home.glob("artifacts/*/Base/imageDetail.json")
    largest = len(data) + 2000 + len(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
    assert json.loads(file.read_text())["ImageSizeInBytes"] == str(largest)
