"""The distribution API as raw requests."""

import http.client
import json
import socket

import pytest

from pipeyard.registry.announcements import listening
from pipeyard.registry.store import ContentStore
from tests.registry.running import OCI_INDEX, OCI_MANIFEST, Client, digest_of, manifest, open_registry

DATA = bytes(range(256)) * 40


def start(client: Client, query: str = "") -> str:
    reply = client("POST", f"/v2/team/app/blobs/uploads/{query}")
    assert reply.status == 202
    return reply.headers["location"]


def test_a_blob_pushed_in_one_post_can_be_pulled(client: Client) -> None:
    digest = client.push_blob("team/app", DATA)
    reply = client("GET", f"/v2/team/app/blobs/{digest}")
    assert (reply.status, reply.body, reply.headers["docker-content-digest"]) == (200, DATA, digest)
    head = client("HEAD", f"/v2/team/app/blobs/{digest}")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(DATA)))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_chunks_make_a_blob_of_either_algorithm(client: Client, algorithm: str) -> None:
    location = start(client)  # without digest-algorithm: the registry has to hash again for sha512
    for first in range(0, len(DATA), 4000):
        chunk = DATA[first : first + 4000]
        reply = client("PATCH", location, chunk, Content_Range=f"{first}-{first + len(chunk) - 1}")
        assert (reply.status, reply.headers["range"]) == (202, f"0-{first + len(chunk) - 1}")
    digest = digest_of(DATA, algorithm)
    assert client("PUT", f"{location}?digest={digest}").status == 201
    assert client("GET", f"/v2/team/app/blobs/{digest}").body == DATA


@pytest.mark.parametrize("text", ["5-9", "1-4", "4-0", "x", "0-3"])
def test_a_chunk_out_of_order_or_of_a_wrong_length_is_416_and_changes_nothing(client: Client, text: str) -> None:
    location = start(client)
    reply = client("PATCH", location, b"12345", Content_Range=text)
    assert (reply.status, reply.codes) == (416, ["BLOB_UPLOAD_INVALID"])
    assert client("PATCH", location, b"12345", Content_Range="0-4").status == 202
    again = client("PATCH", location, b"12345", Content_Range="0-4")
    assert (again.status, again.headers.get("range")) == (416, "0-4")
    assert client("PUT", f"{location}?digest={digest_of(b'12345')}").status == 201


def test_a_status_request_tells_the_offset_and_a_cancelled_upload_is_gone(client: Client) -> None:
    location = start(client)
    client("PATCH", location, b"abc")
    status = client("GET", location)
    assert (status.status, status.headers["range"], status.headers["location"]) == (204, "0-2", location)
    assert client("DELETE", location).status == 204
    gone = client("GET", location)
    assert (gone.status, gone.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    location = start(client)
    assert client("PATCH", location.replace("team/app", "team/other"), b"x").status == 404


def test_a_digest_mismatch_stores_nothing(client: Client, store: ContentStore) -> None:
    wrong = digest_of(b"something else")
    replies = [
        client("POST", f"/v2/team/app/blobs/uploads/?digest={wrong}", DATA),
        client("PUT", f"{start(client)}?digest={wrong}", DATA),
    ]
    for reply in replies:
        assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
    for data in (DATA, b"something else"):
        assert client("HEAD", f"/v2/team/app/blobs/{digest_of(data)}").status == 404
    assert list(store.files.digests()) == []
    assert list((store.root / "uploads").iterdir()) == []


@pytest.mark.parametrize("digest", ["sha256:12", "md5:d41d8cd98f00b204e9800998ecf8427e", "", "sha256:" + "G" * 64])
def test_a_digest_that_is_none_is_400(client: Client, digest: str) -> None:
    reply = client("PUT", f"{start(client)}?digest={digest}", DATA)
    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-0", 206, "bytes 0-0/10240", DATA[:1]),
        ("bytes=100-", 206, "bytes 100-10239/10240", DATA[100:]),
        ("bytes=-5", 206, "bytes 10235-10239/10240", DATA[-5:]),
        ("bytes=10-99999", 206, "bytes 10-10239/10240", DATA[10:]),
        ("bytes=10240-", 416, "bytes */10240", None),
        ("bytes=1-2,5-6", 200, None, DATA),
        ("bytes=9-3", 200, None, DATA),
        ("lines=1-2", 200, None, DATA),
    ],
)
def test_a_range_of_a_blob(
    client: Client, asked: str, status: int, content_range: str | None, body: bytes | None
) -> None:
    reply = client("GET", f"/v2/team/app/blobs/{client.push_blob('team/app', DATA)}", Range=asked)
    assert (reply.status, reply.headers.get("content-range")) == (status, content_range)
    assert body is None or reply.body == body


def test_content_that_the_client_has_is_not_sent_again(client: Client) -> None:
    digest, data = client.push_image("team/app", "latest", DATA)
    first = client("GET", "/v2/team/app/manifests/latest")
    assert (first.body, first.headers["content-type"]) == (data, OCI_MANIFEST)
    second = client("GET", "/v2/team/app/manifests/latest", If_None_Match=first.headers["etag"])
    assert (second.status, second.body) == (304, b"")
    assert client("GET", f"/v2/team/app/manifests/{digest}").body == data


def test_a_mount_takes_a_blob_from_another_repository_and_falls_back_to_an_upload(client: Client) -> None:
    digest = client.push_blob("team/base", DATA)
    for query in (f"?mount={digest}&from=team/base", f"?mount={digest}"):
        assert client("HEAD", f"/v2/team/app/blobs/{digest}").status == 404
        assert client("POST", f"/v2/team/app/blobs/uploads/{query}").status == 201
        assert client("GET", f"/v2/team/app/blobs/{digest}").body == DATA
        assert client("DELETE", f"/v2/team/app/blobs/{digest}").status == 202
    unknown = digest_of(b"nobody has this")
    assert client("POST", f"/v2/team/app/blobs/uploads/?mount={unknown}&from=team/base").status == 202
    assert client("POST", f"/v2/team/app/blobs/uploads/?mount={digest}&from=team/empty").status == 202


def test_all_tags_of_a_push_by_digest_appear_together(client: Client) -> None:
    client.push_image("team/app", "old", DATA)
    data = manifest(b"{}", DATA)
    client.push_blob("team/app", b"{}")
    reply = client(
        "PUT", f"/v2/team/app/manifests/{digest_of(data)}?tag=1&tag=1.2&tag=old", data, Content_Type=OCI_MANIFEST
    )
    assert [value for name, value in reply.all_headers if name == "oci-tag"] == ["1", "1.2", "old"]
    assert client("GET", "/v2/team/app/tags/list").json == {"name": "team/app", "tags": ["1", "1.2", "old"]}
    assert client("GET", "/v2/team/app/manifests/old").body == data
    bad = client("PUT", f"/v2/team/app/manifests/{digest_of(data)}?tag=2&tag=.bad", data, Content_Type=OCI_MANIFEST)
    assert bad.status == 400
    assert client("GET", "/v2/team/app/manifests/2").status == 404


def test_tags_come_in_pages_that_link_to_the_next(client: Client) -> None:
    for tag in ("b", "a", "C", "d", "B"):
        client.push_image("team/app", tag, DATA)
    seen: list[str] = []
    path = "/v2/team/app/tags/list?n=2"
    while path:
        reply = client("GET", path)
        seen += reply.json["tags"]
        path = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert seen == ["B", "C", "a", "b", "d"]
    assert client("GET", "/v2/team/app/tags/list?n=0").json["tags"] == []
    assert client("GET", "/v2/team/app/tags/list?last=a").json["tags"] == ["b", "d"]
    assert client("GET", "/v2/team/app/tags/list?n=-1").status == 400
    missing = client("GET", "/v2/team/none/tags/list")
    assert (missing.status, missing.codes) == (404, ["NAME_UNKNOWN"])


def test_the_catalog_lists_repositories_in_pages(client: Client) -> None:
    for name in ("c", "a/x", "b"):
        client.push_image(name, "latest", DATA)
    first = client("GET", "/v2/_catalog?n=2")
    assert first.json == {"repositories": ["a/x", "b"]}
    assert "last=b" in first.headers["link"]
    assert client("GET", "/v2/_catalog?n=2&last=b").json == {"repositories": ["c"]}


def test_referrers_are_found_filtered_and_gone_when_deleted(client: Client) -> None:
    digest, data = client.push_image("team/app", "latest", DATA)
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}
    sbom, _ = client.push_image(
        "team/app", "s", artifactType="application/sbom", subject=subject, annotations={"made": "today"}
    )
    signature, _ = client.push_image("team/app", "t", subject=subject)
    found = client("GET", f"/v2/team/app/referrers/{digest}")
    assert found.headers["content-type"] == OCI_INDEX
    listed = found.json["manifests"]
    assert [(each["digest"], each["artifactType"]) for each in listed] == [
        (sbom, "application/sbom"),
        (signature, "application/vnd.oci.image.config.v1+json"),
    ]
    assert listed[0]["annotations"] == {"made": "today"}
    filtered = client("GET", f"/v2/team/app/referrers/{digest}?artifactType=application/sbom")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert [each["digest"] for each in filtered.json["manifests"]] == [sbom]
    client("DELETE", f"/v2/team/app/manifests/{sbom}")
    assert len(client("GET", f"/v2/team/app/referrers/{digest}").json["manifests"]) == 1
    assert client("GET", f"/v2/team/app/referrers/{digest_of(b'unknown')}").json["manifests"] == []
    assert client("GET", "/v2/team/app/referrers/latest").status == 400


def test_a_push_with_a_subject_says_that_it_was_understood(client: Client) -> None:
    client.push_blob("team/app", b"{}")
    subject = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"not here"), "size": 8}
    data = manifest(b"{}", subject=subject)
    reply = client("PUT", "/v2/team/app/manifests/x", data, Content_Type=OCI_MANIFEST)
    assert (reply.status, reply.headers["oci-subject"]) == (201, subject["digest"])


def test_a_tag_is_deleted_alone_and_a_manifest_with_its_tags(client: Client) -> None:
    digest, _ = client.push_image("team/app", "one", DATA)
    client.push_image("team/app", "two", DATA)
    assert client("DELETE", "/v2/team/app/manifests/one").status == 202
    assert client("GET", f"/v2/team/app/manifests/{digest}").status == 200
    assert client("DELETE", f"/v2/team/app/manifests/{digest}").status == 202
    assert client("GET", "/v2/team/app/manifests/two").codes == ["MANIFEST_UNKNOWN"]
    assert client("DELETE", f"/v2/team/app/manifests/{digest}").status == 404


def test_what_a_manifest_or_an_index_needs_cannot_be_deleted_before_it(client: Client) -> None:
    digest, data = client.push_image("team/app", "one", DATA)
    blob = client("DELETE", f"/v2/team/app/blobs/{digest_of(DATA)}")
    assert (blob.status, blob.codes) == (405, ["UNSUPPORTED"])
    member = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member]}).encode()
    client("PUT", "/v2/team/app/manifests/all", index, Content_Type=OCI_INDEX)
    assert client("DELETE", f"/v2/team/app/manifests/{digest}").status == 405
    assert client("GET", "/v2/team/app/manifests/one").status == 200
    assert client("DELETE", f"/v2/team/app/manifests/{digest_of(index)}").status == 202
    assert client("DELETE", f"/v2/team/app/manifests/{digest}").status == 202
    assert client("DELETE", f"/v2/team/app/blobs/{digest_of(DATA)}").status == 202


def test_a_manifest_without_its_blobs_is_warned_about_or_refused(client: Client, store: ContentStore) -> None:
    data = manifest(b"{}", b"never pushed")
    reply = client("PUT", "/v2/team/app/manifests/x", data, Content_Type=OCI_MANIFEST)
    assert (reply.status, "warning" in reply.headers) == (201, True)
    with open_registry(store, sparse=False) as strict:
        refused = strict("PUT", "/v2/team/app/manifests/y", data, Content_Type=OCI_MANIFEST)
        assert (refused.status, refused.codes) == (400, ["MANIFEST_BLOB_UNKNOWN"])
        assert strict("GET", "/v2/team/app/manifests/y").status == 404


def test_knowing_a_digest_is_no_right_to_a_blob_of_another_repository(store: ContentStore) -> None:
    with open_registry(store, sparse=False) as client:
        client.push_blob("secret/app", b"{}")
        refused = client("PUT", "/v2/team/app/manifests/x", manifest(b"{}"), Content_Type=OCI_MANIFEST)
        assert refused.codes == ["MANIFEST_BLOB_UNKNOWN"]
        assert client("GET", f"/v2/team/app/blobs/{digest_of(b'{}')}").status == 404


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"no json", OCI_MANIFEST, "MANIFEST_INVALID"),
        (b"[]", OCI_MANIFEST, "MANIFEST_INVALID"),
        (b"{}", OCI_MANIFEST, "MANIFEST_INVALID"),
        (manifest(b"{}"), OCI_INDEX, "MANIFEST_INVALID"),
        (b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "MANIFEST_INVALID"),
        (manifest(b"{}"), "text/html", "MANIFEST_INVALID"),
        (manifest(b"{}").replace(b"sha256:", b"sha256:../"), OCI_MANIFEST, "MANIFEST_INVALID"),
        (manifest(b"{}", mediaType="text/html\r\nSet-Cookie: a=b"), "application/json", "MANIFEST_INVALID"),
        (b"[" * 100_000, OCI_MANIFEST, "MANIFEST_INVALID"),
        (b'{"a":' * 100_000, OCI_MANIFEST, "MANIFEST_INVALID"),
    ],
)
def test_what_is_no_manifest_is_refused(client: Client, data: bytes, kind: str, code: str) -> None:
    reply = client("PUT", "/v2/team/app/manifests/x", data, Content_Type=kind)
    assert (reply.status, reply.codes) == (400, [code])


def test_a_manifest_that_is_too_large_is_413(client: Client) -> None:
    data = manifest(b"{}", annotations={"long": "x" * (4 << 20)})
    assert client("PUT", "/v2/team/app/manifests/x", data, Content_Type=OCI_MANIFEST).status == 413


@pytest.mark.parametrize("name", ["UPPER", "a//b", "../etc", "a/%2e%2e/b", "a/-b", "a" * 256, "a%00b", "%ff"])
def test_hostile_repository_names_are_refused(client: Client, name: str) -> None:
    for path in (f"/v2/{name}/manifests/x", f"/v2/{name}/tags/list", f"/v2/{name}/blobs/{digest_of(b'')}"):
        reply = client("GET", path)
        assert (reply.status, reply.codes) == (400, ["NAME_INVALID"])


@pytest.mark.parametrize("upload", ["../../catalog", "..", "x" * 32, "0" * 32, "%2e%2e%2f"])
def test_hostile_upload_ids_are_unknown(client: Client, upload: str) -> None:
    assert client("PATCH", f"/v2/team/app/blobs/uploads/{upload}", b"x").status in (400, 404)


def test_methods_that_an_endpoint_does_not_take_are_405(client: Client) -> None:
    reply = client("POST", "/v2/team/app/manifests/x")
    assert (reply.status, reply.codes) == (405, ["UNSUPPORTED"])
    assert client("GET", "/v2/team/app/blobs/uploads/").status == 405
    assert client("DELETE", "/v2/").status == 405
    assert client("GET", "/elsewhere").status == 404


def test_repositories_that_must_be_made_explicitly_are_not_made_by_a_push(store: ContentStore) -> None:
    with open_registry(store, create="explicit") as client:
        reply = client("POST", "/v2/team/app/blobs/uploads/")
        assert (reply.status, reply.codes) == (404, ["NAME_UNKNOWN"])
        store.catalog.create_repository("team/app", 0)
        client.push_image("team/app", "latest", DATA)


def test_an_immutable_tag_stays_and_may_be_pushed_again_with_the_same_content(
    client: Client, store: ContentStore
) -> None:
    digest, _ = client.push_image("team/app", "v1", DATA)
    store.catalog.configure("team/app", immutable=True)
    data = manifest(b"{}")
    client.push_blob("team/app", b"{}")
    reply = client("PUT", "/v2/team/app/manifests/v1", data, Content_Type=OCI_MANIFEST)
    assert (reply.status, reply.codes) == (400, ["DENIED"])
    assert client("GET", f"/v2/team/app/manifests/{digest_of(data)}").status == 404, "nothing of it was stored"
    assert client.push_image("team/app", "v1", DATA)[0] == digest


def test_each_push_of_a_tag_is_told_to_whoever_listens(store: ContentStore, client: Client) -> None:
    with listening(store.root, 1):
        digest, _ = client.push_image("team/app", "v1", DATA)
        client.push_image("team/app", digest, DATA)
    (told,) = store.catalog.announcements()
    assert (told.repository, told.tag, told.digest) == ("team/app", "v1", digest)


def test_a_client_that_dies_in_the_middle_can_go_on_where_it_was(client: Client) -> None:
    location = start(client)
    data = DATA * 100
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:500_000])
    offset = -1
    while offset < 0:
        status = client("GET", location)
        taken = int(status.headers["range"].partition("-")[2]) + 1
        reply = client("PATCH", location, data[taken:], Content_Range=f"{taken}-{len(data) - 1}")
        offset = taken if reply.status == 202 else -1
        assert reply.status in (202, 409, 416)
    assert offset > 0
    assert client("PUT", f"{location}?digest={digest_of(data)}").status == 201


def test_a_chunked_body_of_unknown_length_is_taken(client: Client) -> None:
    location = start(client)
    pieces = (DATA[first : first + 1000] for first in range(0, len(DATA), 1000))
    connection = http.client.HTTPConnection("127.0.0.1", client.port)
    connection.request("PATCH", location, pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 202
    connection.close()
    assert client("PUT", f"{location}?digest={digest_of(DATA)}").status == 201
