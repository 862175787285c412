"""Images as archives and in lists: `docker save`, `load`, `manifest` and `buildx imagetools` of builds."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.buildspec.docker.archives import read_archive
from pipeyard.errors import PipeyardError
from pipeyard.oci import digest_of
from pipeyard.registry.store import ContentStore
from pipeyard.service.images import open_images
from tests.buildspec.docker_yard import DockerYard

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def docker(tmp_path: Path) -> DockerYard:
    return DockerYard(tmp_path)


def archive(files: dict[str, bytes], *others: tarfile.TarInfo) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for other in others:
            tar.addfile(other)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def layer_of(name: str) -> bytes:
    return archive({name: b"content"}).getvalue()


def config_of(*layers: bytes) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()


def test_a_saved_image_is_loaded_as_the_same_image(docker: DockerYard) -> None:
    said = docker.run(
        f"docker build -q -t {HOST}/app:1 . && docker push -q {HOST}/app:1",
        f"docker save {HOST}/app:1 | gzip > image.tgz && docker save -o image.tar {HOST}/app:1 && tar tf image.tar",
        f"docker rmi {HOST}/app:1 && docker load < image.tgz && docker rmi {HOST}/app:1 && docker load -i image.tar",
        f"docker tag {HOST}/app:1 {HOST}/app:2 && docker push -q {HOST}/app:2",
        f"docker history -q {HOST}/app:1 | wc -l && docker rmi -f $(docker images -q {HOST}/app)",
        "docker images -q",
    )
    assert {"oci-layout", "index.json", "manifest.json"} < set(said)
    assert said.count(f"Loaded image: {HOST}/app:1") == 2
    first, second = docker.published
    assert first.digest == second.digest
    assert said[-1].startswith("Untagged: ")


def test_an_archive_of_an_older_docker_is_loaded(tmp_path: Path) -> None:
    layers = (layer_of("a"), layer_of("b"))
    config = config_of(*layers)
    listed = [{"Config": "c.json", "RepoTags": ["team/app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    files = {"1/layer.tar": layers[0], "2/layer.tar": layers[1], "c.json": config}
    store = ContentStore(tmp_path)
    ((image, names),) = read_archive(archive({**files, "manifest.json": json.dumps(listed).encode()}), store)
    assert (image.id, [str(name) for name in names]) == (digest_of(config), ["docker.io/team/app:1"])
    assert [each.digest for each in image.image.manifest.layers] == [digest_of(layer) for layer in layers]
    with image.open(image.image.manifest.layers[1], 0) as stream:
        assert stream.read() == layers[1]


@pytest.mark.parametrize("broken", ["link", "digest", "layer", "json"])
def test_an_archive_that_is_not_what_it_says_is_refused(tmp_path: Path, broken: str) -> None:
    layer = layer_of("a")
    config = config_of(layer)
    path = f"blobs/sha256/{digest_of(layer).partition(':')[2]}"
    files = {path: layer, "c.json": config}
    listed = [{"Config": "c.json", "RepoTags": None, "Layers": [path]}]
    link = tarfile.TarInfo("c.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    others = []
    match broken:
        case "link":
            del files["c.json"]
            others = [link]
        case "digest":
            files[path] = layer_of("other")
        case "layer":
            del files[path]
        case _:
            files["manifest.json"] = b"[{"
    files.setdefault("manifest.json", json.dumps(listed).encode())
    with pytest.raises(PipeyardError):
        read_archive(archive(files, *others), ContentStore(tmp_path))


@settings(deadline=None)
@given(data=st.binary(max_size=2000), listed=st.text(max_size=40))
def test_no_bytes_break_load_but_by_an_error_of_ours(data: bytes, listed: str) -> None:
    store: ContentStore = None  # type: ignore[assignment]  # nothing that is wrong gets as far as the store
    for stream in (io.BytesIO(data), archive({"manifest.json": listed.encode(), "c.json": data})):
        try:
            assert read_archive(stream, store) == []
        except PipeyardError:
            continue


def test_a_list_is_made_of_pushed_images_and_pushed_itself(docker: DockerYard) -> None:
    said = docker.run(
        f"docker build -q -t {HOST}/app:amd64 . && docker push -q {HOST}/app:amd64",
        "printf 'FROM scratch\\nCOPY Dockerfile /\\n' > D",
        f"docker build -q --platform linux/arm64 -t {HOST}/app:arm64 -f D .",
        f"docker push -q {HOST}/app:arm64 && docker rmi {HOST}/app:arm64",
        f"docker manifest create {HOST}/app:1 --amend {HOST}/app:amd64 --amend {HOST}/app:arm64",
        f"docker manifest annotate {HOST}/app:1 {HOST}/app:arm64 --arch arm64 --variant v8",
        f"docker manifest push --purge {HOST}/app:1",
        f"docker manifest inspect {HOST}/app:1 | grep -c '\"architecture\"'",
        f"docker manifest push {HOST}/app:1 2>&1 || echo purged",
    )
    assert "2" in said
    assert said[-2:] == [f"ERROR: No such manifest: {HOST}/app:1", "purged"]
    with open_images(docker.settings, {}) as images:
        document = images.store.catalog.manifest("app", "1")
    assert document is not None
    platforms = [each["platform"] for each in json.loads(document.data)["manifests"]]
    assert [(each["architecture"], each.get("variant")) for each in platforms] == [("amd64", None), ("arm64", "v8")]


def test_imagetools_copies_one_source_and_joins_several(docker: DockerYard) -> None:
    said = docker.run(
        f"docker buildx build --platform linux/amd64 --push -t {HOST}/app:amd64 . 2>/dev/null",
        f"docker buildx imagetools create -t {HOST}/app:copy {HOST}/app:amd64 2>/dev/null",
        f"printf 'FROM scratch\\nCOPY Dockerfile /\\n' > D && docker buildx build -f D --platform linux/arm64 --push "
        f"-t {HOST}/app:arm64 . 2>/dev/null",
        f"docker buildx imagetools create -t {HOST}/app:1 {HOST}/app:amd64 {HOST}/app:arm64 2>/dev/null",
        f"docker buildx imagetools inspect {HOST}/app:1 | grep Platform",
    )
    assert said[-2:] == ["  Platform:  linux/amd64", "  Platform:  linux/arm64"]
    digests = {tag: each.digest for each in docker.published for tag in each.tags}
    assert digests["copy"] == digests["amd64"]
    assert digests["1"] not in (digests["amd64"], digests["arm64"])


def test_the_aws_of_builds_describes_repositories_as_ecr_would(docker: DockerYard) -> None:
    named = "aws ecr describe-repositories --repository-names"
    said = docker.run(
        f'REPO=$({named} team/app --output text --query "repositories[0].repositoryUri") && echo $REPO',
        f"{named} one two > described.json && cat described.json",
        "aws ecr create-repository --repository-name made --query 'repository.repositoryUri' --output text",
        "aws ecr create-repository --repository-name=made --region eu-west-1",
    )
    assert said[0] == f"{HOST}/team/app"
    start = said.index("}") + 1
    described = json.loads("\n".join(said[1:start]))["repositories"]
    assert [each["repositoryUri"] for each in described] == [f"{HOST}/one", f"{HOST}/two"]
    assert said[start] == f"{HOST}/made"
    made = json.loads("\n".join(said[start + 1 :]))["repository"]
    assert made["repositoryArn"] == "arn:aws:ecr:eu-west-1:123456789012:repository/made"
