"""What is attested beside an image, in the form in which BuildKit's clients look for it."""

import base64
from typing import Any

import msgspec
import pytest

from pipeyard.errors import InputError
from pipeyard.image.build import Built, BuiltPlatform, ContextOrigin, Provenance, Secret
from pipeyard.image.build.attestations import PROVENANCE, SPDX
from pipeyard.image.build.exports import oci_layout
from pipeyard.oci import ImageIndex, ImageManifest, decode_manifest, digest_of, parse_platform
from tests.image.build.conftest import Yard

_FILE = "FROM scratch\nARG V=1\nCOPY f /f\n"


def _bill(image: BuiltPlatform) -> bytes:
    return msgspec.json.encode({"spdxVersion": "SPDX-2.3", "name": image.descriptor.digest})


def _index(built: Built) -> ImageIndex:
    index = decode_manifest(built.root_data, built.root.media_type)
    assert isinstance(index, ImageIndex)
    return index


def _statements(image: BuiltPlatform) -> dict[str, Any]:
    """By their predicate's type; the first blob is the manifest's configuration."""
    assert image.attestation is not None
    _, *blobs = image.attestation.blobs
    return {document["predicateType"]: document for document in (msgspec.json.decode(data) for _, data in blobs)}


def _provenance(yard: Yard, dockerfile: str = _FILE, mode: str = "max", **wishes: Any) -> dict[str, Any]:
    options = msgspec.convert({"mode": mode}, Provenance)
    built = yard.build(dockerfile, {"f": "f"}, provenance=options, **wishes)
    found: dict[str, Any] = _statements(built.platforms[0])[PROVENANCE]["predicate"]
    return found


def test_attestations_stand_in_the_index_behind_the_image_that_they_are_about(yard: Yard) -> None:
    plain = yard.build(_FILE, {"f": "f"})
    built = yard.build(_FILE, provenance=Provenance(), sbom=True, tags=("1",), parts={"bill": _bill})
    image, attestation = _index(built).manifests
    assert image.digest == plain.digest
    assert attestation.platform is not None
    assert (attestation.platform.os, attestation.platform.architecture) == ("unknown", "unknown")
    assert attestation.annotations == {
        "vnd.docker.reference.digest": image.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    stored = yard.store.catalog.manifest("app", attestation.digest)
    assert stored is not None
    manifest = decode_manifest(stored.data, stored.media_type)
    assert isinstance(manifest, ImageManifest)
    assert manifest.artifact_type == "application/vnd.docker.attestation.manifest.v1+json"
    assert manifest.subject is not None
    assert manifest.subject.digest == image.digest
    assert [layer.annotations["in-toto.io/predicate-type"] for layer in manifest.layers] == [SPDX, PROVENANCE]
    for layer in (manifest.config, *manifest.layers):
        with yard.store.read(layer.digest) as stream:
            assert digest_of(stream.read()) == layer.digest


def test_a_statement_names_the_image_by_its_digest(yard: Yard) -> None:
    built = yard.build(_FILE, {"f": "f"}, sbom=True, parts={"bill": _bill})
    (image,) = built.platforms
    statement = _statements(image)[SPDX]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "_", "digest": {"sha256": image.descriptor.digest[7:]}}]
    assert statement["predicate"] == {"spdxVersion": "SPDX-2.3", "name": image.descriptor.digest}


def test_each_platform_has_its_own_attestation_and_all_one_invocation(yard: Yard) -> None:
    platforms = (parse_platform("linux/amd64"), parse_platform("linux/arm64"))
    built = yard.build("FROM scratch\nCOPY f /f\n", {"f": "f"}, platforms=platforms, provenance=Provenance())
    members = _index(built).manifests
    assert [member.annotations.get("vnd.docker.reference.digest") for member in members[2:]] == [
        member.digest for member in members[:2]
    ]
    said = [_statements(image)[PROVENANCE]["predicate"]["runDetails"]["metadata"] for image in built.platforms]
    assert said[0]["invocationId"] == said[1]["invocationId"]


def test_provenance_tells_the_base_image_by_its_digest(yard: Yard, busybox: str) -> None:
    said = _provenance(yard, f"FROM {busybox}\nCOPY f /f\n")
    (material,) = said["buildDefinition"]["resolvedDependencies"]
    assert material["uri"].startswith("pkg:docker/")
    assert "platform=linux%2F" in material["uri"]
    assert len(material["digest"]["sha256"]) == 64
    # The context is a folder that nobody else has.
    assert not said["runDetails"]["metadata"]["buildkit_completeness"]["resolvedDependencies"]


def test_mode_min_tells_no_argument_label_or_dockerfile(yard: Yard) -> None:
    wishes: dict[str, Any] = {"arguments": {"V": "argument-value"}, "labels": {"l": "label-value"}, "target": "x"}
    dockerfile = "FROM scratch AS x\nARG V=1\nCOPY f /f\n"
    least = _provenance(yard, dockerfile, "min", **wishes)
    most = _provenance(yard, dockerfile, "max", **wishes)
    assert b"-value" not in msgspec.json.encode(least)
    assert least["buildDefinition"]["externalParameters"]["request"]["args"] == {"target": "x"}
    assert not least["runDetails"]["metadata"]["buildkit_completeness"]["request"]
    assert most["buildDefinition"]["externalParameters"]["request"]["args"] == {
        "build-arg:V": "argument-value",
        "label:l": "label-value",
        "target": "x",
    }
    source = most["runDetails"]["metadata"]["buildkit_metadata"]["source"]
    assert base64.b64decode(source["infos"][0]["data"]).decode() == dockerfile


def test_no_secret_is_told(yard: Yard, busybox: str) -> None:
    said = _provenance(
        yard,
        f"FROM {busybox}\nARG API_TOKEN\nRUN --mount=type=secret,id=login true\n",
        secrets={"login": Secret(value=b"hidden-1")},
        arguments={"API_TOKEN": "hidden-2", "REPO": "https://me:hidden-3@example.com/r"},
        vcs={"source": "https://me:hidden-4@example.com/r.git", "revision": "abc"},
    )
    assert b"hidden" not in msgspec.json.encode(said)
    request = said["buildDefinition"]["externalParameters"]["request"]
    assert request["secrets"] == [{"id": "login", "optional": True}]
    assert request["args"] == {"build-arg:REPO": "https://example.com/r"}
    metadata = said["runDetails"]["metadata"]
    assert metadata["buildkit_metadata"]["vcs"] == {"source": "https://example.com/r.git", "revision": "abc"}
    assert not metadata["buildkit_completeness"]["request"]


def test_times_are_told_unless_the_request_fixes_the_time(yard: Yard) -> None:
    clock = {"now_s": iter((1_700_000_000.0, 1_700_000_002.0)).__next__}
    told = _provenance(yard, parts=clock)["runDetails"]["metadata"]
    assert (told["startedOn"], told["finishedOn"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:22Z")
    digests = {
        yard.build(_FILE, provenance=Provenance(), epoch_s=5, parts={"now_s": iter((now, now)).__next__}).digest
        for now in (1.0, 2.0)
    }
    assert len(digests) == 1


def test_an_image_layout_holds_the_attestations(yard: Yard) -> None:
    built = yard.build(_FILE, {"f": "f"}, provenance=Provenance())
    written: dict[str, bytes] = {}
    oci_layout(built, [], lambda path, _, pieces: written.update({path: b"".join(pieces())}))
    for member in _index(built).manifests:
        manifest = decode_manifest(written[f"blobs/{member.digest.replace(':', '/')}"])
        assert isinstance(manifest, ImageManifest)
        for blob in (manifest.config, *manifest.layers):
            assert digest_of(written[f"blobs/{blob.digest.replace(':', '/')}"]) == blob.digest


def test_an_sbom_without_a_scanner_is_refused(yard: Yard) -> None:
    with pytest.raises(InputError, match="scanned"):
        yard.build(_FILE, {"f": "f"}, sbom=True)


def test_a_context_that_was_fetched_is_a_material_and_leaves_nothing_unknown(yard: Yard) -> None:
    said = _provenance(yard, context_origin=ContextOrigin("https://me:pw@example.com/r.git#main", "sha1:" + "a" * 40))
    material = {"uri": "https://example.com/r.git#main", "digest": {"sha1": "a" * 40}}
    definition = said["buildDefinition"]
    assert definition["resolvedDependencies"] == [material]
    assert definition["externalParameters"]["configSource"] == {**material, "path": "Dockerfile"}
    assert "locals" not in definition["externalParameters"]["request"]
    metadata = said["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"]["resolvedDependencies"]
    assert metadata["buildkit_hermetic"]
