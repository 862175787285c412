"""Caches that another machine uses, image layouts as bases, and images as files."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from pipeyard.image.build import Built, Publication
from pipeyard.image.build.exports import (
    docker_archive,
    oci_layout,
    to_folder,
    to_tar,
)
from pipeyard.image.build.layouts import HOST, LayoutDestination
from pipeyard.image.build.rootfiles import write_root_folder, write_root_tar
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.reference import Reference
from tests.image.build.conftest import Yard, files_of

CACHE = Reference("example.com", "cache", "main")


def other_machine(tmp_path: Path, first: Yard) -> tuple[Yard, StoreOrigin]:
    """A home with nothing in it, which reaches what the first one published."""
    root = tmp_path / "other"
    root.mkdir()
    second = Yard(root)
    second.context.rmdir()
    second.context = first.context
    return second, StoreOrigin(first.store)


@pytest.mark.parametrize("kind", ["min", "max", "inline", "local"])
def test_another_machine_builds_from_a_shared_cache(yard: Yard, busybox: str, tmp_path: Path, kind: str) -> None:
    dockerfile = (
        f"FROM {busybox} AS made\nRUN echo 1 > /out\nFROM {busybox}\nCOPY --from=made /out /out\nRUN cat /out > /two\n"
        "COPY f /f\n"
    )
    reference = CACHE
    if kind == "inline":
        reference = Reference("example.com", "app", "latest")
        first = yard.build(dockerfile, {"f": "f"}, tags=("latest",), inline_cache=True)
    elif kind == "local":
        reference = Reference(HOST, str(tmp_path / "local"))
        export = Publication(destination=LayoutDestination(tmp_path / "local"), cache="max")
        first = yard.build(dockerfile, {"f": "f"}, parts={"publications": [export]})
    else:
        first = yard.build(dockerfile, {"f": "f"}, parts={"publications": [exported(yard, kind == "max")]})
    second, origin = other_machine(tmp_path, yard)
    again = second.build(dockerfile, cache_from=(reference,), parts={"origin": origin})
    assert [title for title in second.carried_out if not title.startswith("FROM")] == []
    assert again.platforms[0].config == first.platforms[0].config
    assert second.sandboxes == 0


def exported(yard: Yard, maximal: bool) -> Publication:
    destination = StoreDestination(yard.store, "cache")
    return Publication(destination=destination, tags=("main",), cache="max" if maximal else "min")


def test_a_step_after_a_shared_layer_sees_its_files(yard: Yard, busybox: str, tmp_path: Path) -> None:
    yard.build(f"FROM {busybox}\nRUN echo 1 > /one\n", parts={"publications": [exported(yard, True)]})
    second, origin = other_machine(tmp_path, yard)
    built = second.build(
        f"FROM {busybox}\nRUN echo 1 > /one\nRUN cat /one > /two\n", cache_from=(CACHE,), parts={"origin": origin}
    )
    assert files_of(built)["two"].content == b"1\n"
    assert [title for title in second.carried_out if title.startswith("RUN")] == ["RUN cat /one > /two"]


def test_a_cache_that_is_not_there_is_told_and_does_not_matter(yard: Yard) -> None:
    yard.build("FROM scratch\nCOPY f /\n", {"f": "f"}, cache_from=(CACHE,))
    assert any("is not used" in str(report) for report in yard.reports)


def test_a_layout_on_disk_can_be_a_base(yard: Yard, tmp_path: Path) -> None:
    base = yard.build("FROM scratch\nENV A=1\nCOPY f /one\n", {"f": "f"})
    to_folder(lambda put: oci_layout(base, ["example.com/base:1"], put), tmp_path / "layout")
    built = yard.build("FROM base\nCOPY f /two\n", contexts={"base": f"oci-layout://{tmp_path / 'layout'}:1"})
    assert list(files_of(built)) == ["one", "two"]


def test_a_stage_can_stand_for_a_named_context(yard: Yard) -> None:
    built = yard.build(
        "FROM scratch AS real\nCOPY f /real\nFROM scratch\nCOPY --from=alias /real /got\n",
        {"f": "f"},
        contexts={"alias": "target:real"},
    )
    assert list(files_of(built)) == ["got"]


def archive(built: Built, form: object) -> tarfile.TarFile:
    out = io.BytesIO()
    to_tar(lambda put: form(built, ["app:1"], put), out)  # type: ignore[operator] # one of the two writers
    out.seek(0)
    return tarfile.open(fileobj=out)


def test_a_layout_holds_every_blob_under_its_digest(yard: Yard) -> None:
    built = yard.build("FROM scratch\nCOPY f /\n", {"f": "f" * 3_000_000})
    tar = archive(built, oci_layout)
    index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type] # it is a file
    assert index["manifests"][0]["digest"] == built.digest
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"
    names = set(tar.getnames())
    for layer in built.platforms[0].manifest.layers:
        assert f"blobs/{layer.digest.replace(':', '/')}" in names


def test_a_docker_archive_names_its_layers_and_tags(yard: Yard) -> None:
    built = yard.build("FROM scratch\nCOPY f /\n", {"f": "f"})
    manifest = json.load(archive(built, docker_archive).extractfile("manifest.json"))  # type: ignore[arg-type] # a file
    assert manifest[0]["RepoTags"] == ["app:1"]
    assert len(manifest[0]["Layers"]) == 1


def test_the_files_of_an_image_go_to_a_folder_without_what_was_removed(
    yard: Yard, busybox: str, tmp_path: Path
) -> None:
    built = yard.build(f"FROM {busybox}\nRUN echo 1 > /kept && rm -r /srv\n")
    write_root_folder(built.platforms, tmp_path / "out")
    assert (tmp_path / "out" / "kept").read_text() == "1\n"
    assert (tmp_path / "out" / "bin" / "sh").is_symlink()
    assert not (tmp_path / "out" / "srv").exists()


def test_the_files_of_a_large_image_are_written_in_little_memory(yard: Yard) -> None:
    import tracemalloc

    built = yard.build("FROM scratch\nCOPY . /\n", {f"f{at}": bytes([at]) * 8_000_000 for at in range(5)})
    written = 0

    def consume(data: bytes) -> None:
        nonlocal written
        written += len(data)

    tracemalloc.start()
    try:
        write_root_tar(built.platforms, consume)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written > 40_000_000
    assert peak < 16_000_000
