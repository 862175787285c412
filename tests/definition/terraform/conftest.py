"""A folder of configuration from its files, and what a reader makes of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeyard.definition.places import NO_INPUTS, Inputs, Reading
from pipeyard.definition.terraform import TerraformReader

Read = Callable[..., Reading]
Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_files(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "root"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return folder

    return write_files


@pytest.fixture
def read(write: Write) -> Read:
    def read_files(files: Mapping[str, str], inputs: Inputs = NO_INPUTS) -> Reading:
        return TerraformReader().read(write(files), inputs)

    return read_files
