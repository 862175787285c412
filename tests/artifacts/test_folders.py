"""Artifacts are whole, found again after a restart, and cannot be named out of their store."""

from pathlib import Path

import pytest

from pipeyard.artifacts import FolderArtifacts
from pipeyard.errors import ActionFailed, InputError


def folder_with(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "a").write_text(text)
    return path


def test_another_process_finds_what_was_kept(tmp_path: Path) -> None:
    kept = FolderArtifacts(tmp_path / "store").keep("run-1", "Out", folder_with(tmp_path / "made", "x"))
    assert (FolderArtifacts(tmp_path / "store").folder(kept.location) / "a").read_text() == "x"


def test_keeping_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "store")
    store.keep("run-1", "Out", folder_with(tmp_path / "one", "1"))
    kept = store.keep("run-1", "Out", folder_with(tmp_path / "two", "2"))
    assert (store.folder(kept.location) / "a").read_text() == "2"
    assert [p.name for p in (tmp_path / "store/run-1").iterdir()] == ["Out"]


@pytest.mark.parametrize("name", ["..", "a/b", "", ".tmp-1", "x" * 101])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    store = FolderArtifacts(tmp_path / "store")
    with pytest.raises(InputError):
        store.keep("run-1", name, folder_with(tmp_path / "made", "x"))


def test_a_forgotten_artifact_is_told_as_such(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "store")
    kept = store.keep("run-1", "Out", folder_with(tmp_path / "made", "x"))
    store.forget(["run-1", "never-was"])
    with pytest.raises(ActionFailed, match="no longer"):
        store.folder(kept.location)
