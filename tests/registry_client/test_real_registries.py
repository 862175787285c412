"""Pushing to and pulling from registries that are real processes, read again by an independent client."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.errors import InputError, RegistryError, Stopped
from pipeyard.oci import Descriptor, ImageManifest, Platform, digest_of, encode, media_types
from pipeyard.progress import Report, Transferred
from pipeyard.registry.client import Registries, open_registries
from pipeyard.registry.client.copying import copy_image
from pipeyard.registry.credentials import Credential, FixedKeychain
from pipeyard.registry.exchange import Document, Offer
from pipeyard.registry.reference import Reference
from pipeyard.registry.store import ContentStore
from pipeyard.threads import StopSignal
from tests.registry_client.conftest import QUICK
from tests.registry_client.faulty_proxy import Fault, FaultyProxy
from tests.registry_client.images import from_file, from_memory, has_all, push, sample, sample_index
from tests.registry_client.processes import HTPASSWD, docker_registry, own_registry

AMD64 = Platform("linux", "amd64")


def test_what_was_pushed_is_resolved_and_read_back(registry: str, registries: Registries, name: str) -> None:
    image = sample(2)
    published = push(image, registries.destination(Reference(registry, name)), ("1", "latest"))
    assert published.references == (f"{registry}/{name}:1", f"{registry}/{name}:latest")
    assert published.size == len(image.root.data) + sum(len(data) for _, data in image.blobs.values())
    origin = registries.origin()
    found = origin.resolve(Reference(registry, name, "latest"), AMD64)
    assert found.root.digest == image.digest
    assert found.config.architecture == "amd64"
    for layer in found.manifest.layers:
        with origin.read(found, layer) as stream:
            assert stream.read() == image.blobs[layer.digest][1]
        with origin.read(found, layer, 1000) as stream:
            assert stream.read() == image.blobs[layer.digest][1][1000:]


def test_skopeo_reads_what_was_pushed(registry: str, registries: Registries, name: str, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    image = sample(3)
    push(image, registries.destination(Reference(registry, name)), ("1",))
    command = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{registry}/{name}:1", f"dir:{tmp_path}/out"]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "out/manifest.json").read_bytes() == image.root.data
    for digest, (_, data) in image.blobs.items():
        assert (tmp_path / "out" / digest.partition(":")[2]).read_bytes() == data


def test_a_file_is_sent_whole(registry: str, registries: Registries, name: str, tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(b"0123456789abcdef" * 200_000)
    data = (tmp_path / "layer").read_bytes()
    layer = Descriptor(media_type=media_types.OCI_LAYER, digest=digest_of(data), size=len(data))
    reports: list[Report] = []
    destination = registries.destination(Reference(registry, name), observe=reports.append)
    config = Descriptor(media_type=media_types.OCI_EMPTY, digest=digest_of(b"{}"), size=2)
    destination.offer(Offer(descriptor=layer, open=from_file(tmp_path / "layer")))
    destination.offer(Offer(descriptor=config, open=from_memory(b"{}")))
    manifest = ImageManifest(schema_version=2, media_type=media_types.OCI_MANIFEST, config=config, layers=[layer])
    destination.publish([Document(media_type=media_types.OCI_MANIFEST, data=encode(manifest))], ())
    destination.close()
    with registries.repository(Reference(registry, name)).read(layer) as stream:
        assert stream.read() == data
    moved = [report.done for report in reports if isinstance(report, Transferred) and report.total == len(data)]
    assert moved == sorted(moved)
    assert moved[-1] == len(data)
    assert len(moved) > 3


def test_blobs_that_are_there_are_not_sent_and_others_are_mounted(
    registry: str, registries: Registries, name: str
) -> None:
    image = sample(4)
    push(image, registries.destination(Reference(registry, f"{name}/first")), ("1",))
    with FaultyProxy(registry) as proxy:
        again = registries.destination(Reference(proxy.host, f"{name}/first"))
        push(image, again, ("2",))
        assert {seen.method for seen in proxy.seen} == {"HEAD", "PUT"}
        assert all("/manifests/" in seen.path for seen in proxy.seen if seen.method == "PUT")
        proxy.use(lambda seen: None)
        mounting = registries.destination(Reference(proxy.host, f"{name}/second"))
        push(image, mounting, ("1",), mount_from=(Reference(proxy.host, f"{name}/first"),))
        assert not [seen for seen in proxy.seen if seen.method == "PUT" and "/manifests/" not in seen.path]
    assert has_all(registries.repository(Reference(registry, f"{name}/second")), image, "1")


def test_an_index_gives_the_image_of_the_platform_and_names_those_it_has(
    registry: str, registries: Registries, name: str
) -> None:
    image = sample_index(("amd64", sample(5)), ("arm64", sample(5, architecture="arm64")))
    push(image, registries.destination(Reference(registry, name)), ("1",))
    reference = Reference(registry, name, "1")
    found = registries.origin().resolve(reference, Platform("linux", "arm64"))
    assert found.config.architecture == "arm64"
    assert found.root.digest == image.digest
    with pytest.raises(InputError) as refused:
        registries.origin().resolve(reference, Platform("linux", "s390x"))
    assert refused.value.hint == "it exists for linux/amd64, linux/arm64"


def test_an_index_is_copied_with_everything_that_refers_to_it(registry: str, registries: Registries, name: str) -> None:
    image = sample_index(("amd64", sample(6)), ("arm64", sample(6, architecture="arm64")))
    source, target = Reference(registry, name, "1"), Reference(registry, f"{name}/copy")
    push(image, registries.destination(source), ("1",))
    empty = Descriptor(media_type=media_types.OCI_EMPTY, digest=digest_of(b"{}"), size=2)
    subject = Descriptor(media_type=media_types.OCI_INDEX, digest=digest_of(image.root.data), size=len(image.root.data))
    signature = ImageManifest(
        schema_version=2,
        media_type=media_types.OCI_MANIFEST,
        artifact_type="application/vnd.example.signature",
        config=empty,
        layers=[empty],
        subject=subject,
    )
    destination = registries.destination(source)
    destination.offer(Offer(descriptor=empty, open=from_memory(b"{}")))
    destination.publish([Document(media_type=media_types.OCI_MANIFEST, data=encode(signature))], ())
    destination.close()
    receiver = registries.destination(target)
    copied = copy_image(registries.repository(source), source, receiver, ("x",), platform=None, with_referrers=True)
    receiver.close()
    assert copied.referrers == 1
    repository = registries.repository(target)
    assert has_all(repository, image, "x")
    assert [found.artifact_type for found in repository.referrers(subject.digest)] == [
        "application/vnd.example.signature"
    ]


def test_tags_are_listed_and_deleted(our_registry: str, registries: Registries, name: str) -> None:
    push(sample(7), registries.destination(Reference(our_registry, name)), ("a", "b"))
    repository = registries.repository(Reference(our_registry, name), ("pull", "delete"))
    assert sorted(repository.tags()) == ["a", "b"]
    assert repository.delete("a")
    assert not repository.delete("a")
    assert list(repository.tags()) == ["b"]
    assert repository.head("a") is None


def test_what_was_fetched_once_is_not_fetched_again(
    our_registry: str, registries: Registries, name: str, tmp_path: Path
) -> None:
    image = sample_index(("amd64", sample(13)))
    push(image, registries.destination(Reference(our_registry, name)), ("1",))
    store = ContentStore(tmp_path)
    with FaultyProxy(our_registry) as proxy:
        for _ in range(2):
            proxy.use(lambda seen: None)
            origin = registries.origin(kept=store)
            found = origin.resolve(Reference(proxy.host, name, "1"), AMD64)
            for layer in found.manifest.layers:
                with origin.read(found, layer) as stream:
                    assert stream.read() == image.blobs[layer.digest][1]
        assert [(seen.method, seen.path) for seen in proxy.seen] == [("GET", f"/v2/{name}/manifests/1")]


def test_a_stream_that_was_not_read_to_its_end_leaves_nothing_in_the_store(
    our_registry: str, registries: Registries, name: str, tmp_path: Path
) -> None:
    push(sample(14, (3_000_000,)), registries.destination(Reference(our_registry, name)), ("1",))
    store = ContentStore(tmp_path)
    origin = registries.origin(kept=store)
    found = origin.resolve(Reference(our_registry, name, "1"), AMD64)
    with origin.read(found, found.manifest.layers[0]) as stream:
        stream.read(10)
    assert store.size(found.manifest.layers[0].digest) is None


def test_an_image_that_does_not_exist_is_an_input_error(registry: str, registries: Registries, name: str) -> None:
    with pytest.raises(InputError, match="there is no image"):
        registries.origin().resolve(Reference(registry, name, "nope"), AMD64)


def test_tags_that_were_set_before_a_failure_are_told_apart_from_the_others(
    our_registry: str, registries: Registries, name: str
) -> None:
    with FaultyProxy(our_registry) as proxy:
        proxy.use(lambda seen: Fault("status", 403) if seen.path.endswith("/manifests/b") else None)
        with pytest.raises(RegistryError, match="tag a is set, tags b, c are not set"):
            push(sample(15), registries.destination(Reference(proxy.host, name)), ("a", "b", "a", "c"))
    assert list(registries.repository(Reference(our_registry, name)).tags()) == ["a"]


def test_a_stop_ends_a_push_and_nothing_is_visible(registry: str, registries: Registries, name: str) -> None:
    stop = StopSignal()
    destination = registries.destination(
        Reference(registry, name), stop, lambda report: stop.stop("the user had enough")
    )
    with pytest.raises(Stopped):
        push(sample(8, (3_000_000,)), destination, ("1",))
    assert registries.repository(Reference(registry, name)).document("1") is None


@pytest.fixture(scope="module", params=["docker-registry with htpasswd", "pipeyard with tokens"])
def closed_registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("closed")
    if request.param.startswith("docker"):
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        with docker_registry(folder, auth) as host:
            yield host
    else:
        with own_registry(folder, users="ada:correct horse") as host:
            yield host


def test_a_login_opens_a_closed_registry(closed_registry: str, name: str) -> None:
    keychain = FixedKeychain({closed_registry: Credential(username="ada", password="correct horse")})
    image = sample(9)
    with open_registries(QUICK, keychain) as registries:
        push(image, registries.destination(Reference(closed_registry, name)), ("1",))
        assert has_all(registries.repository(Reference(closed_registry, name)), image, "1")
        second = registries.destination(Reference(closed_registry, f"{name}/b"))
        push(image, second, ("1",), mount_from=(Reference(closed_registry, name),))
        assert has_all(registries.repository(Reference(closed_registry, f"{name}/b")), image, "1")


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (None, "log in with `docker login"),
        (Credential(username="ada", password="wrong", origin="the test"), "the login from the test is wrong"),
    ],
    ids=["without a login", "with a wrong one"],
)
def test_a_closed_registry_says_how_to_log_in(
    closed_registry: str, name: str, login: Credential | None, said: str
) -> None:
    keychain = FixedKeychain({closed_registry: login} if login else {})
    with open_registries(QUICK, keychain) as registries, pytest.raises(RegistryError) as refused:
        push(sample(10), registries.destination(Reference(closed_registry, name)), ("1",))
    assert refused.value.status == 401
    assert said in refused.value.hint
    assert closed_registry in refused.value.message
    assert "wrong" not in refused.value.message


def test_a_login_from_dockers_file_is_used_by_the_command_line(closed_registry: str, name: str, tmp_path: Path) -> None:
    """The whole way: embedded registry, `image push`, Docker's config.json, and back with `image pull`."""
    import base64
    import os
    import sys

    from pipeyard.registry.embedded import StoreDestination

    image = sample(11)
    store = ContentStore(tmp_path / "home/registry")
    push(image, StoreDestination(store, "web"), ("1",))
    store.close()
    auth = base64.b64encode(b"ada:correct horse").decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {closed_registry: {"auth": auth}}}))
    environment = {
        **os.environ,
        "PIPEYARD_HOME": str(tmp_path / "home"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
    }

    def pipeyard(*arguments: str) -> str:
        command = [sys.executable, "-m", "pipeyard", "image", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "correct horse" not in done.stderr
        assert auth not in done.stderr
        return done.stdout

    target = f"{closed_registry}/{name}:1"
    assert json.loads(pipeyard("push", "web:1", target, "--json"))["digest"] == image.digest
    assert json.loads(pipeyard("inspect", target))["digest"] == image.digest
    pipeyard("pull", target, "back:2")
    assert pipeyard("inspect", "back:2", "--raw").encode() == image.root.data
    pipeyard("tag", "back:2", "back:3", "other:1")
    listed = json.loads(pipeyard("ls", "--json"))["imageDetails"]
    assert {(entry["repositoryName"], tuple(entry["imageTags"])) for entry in listed} == {
        ("web", ("1",)),
        ("back", ("2", "3")),
        ("other", ("1",)),
    }
    pipeyard("rm", "back:2", "other:1")
    assert pipeyard("ls", "back").splitlines()[1].startswith("back:3 ")
