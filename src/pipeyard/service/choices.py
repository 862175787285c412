"""What the person who started an execution chose for it, kept so that whoever continues it does the same."""

from pathlib import Path

import msgspec
from msgspec import Struct

from pipeyard.files import replace_file


class Choices(Struct, frozen=True, kw_only=True):
    """By source action, `sources` are git origins (`LOCATION#REF`) and `images` names, `objects` paths.

    `publish` is as in the settings.
    """

    sources: dict[str, str] = {}
    images: dict[str, str] = {}
    objects: dict[str, str] = {}
    publish: str = "embedded"


def keep_choices(home: Path, execution_id: str, choices: Choices) -> None:
    """Written before the execution starts: an execution without choices was started by a server's client."""
    folder = home / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / f"{execution_id}.json", durable=False, mode=0o600) as out:
        out.write(msgspec.json.encode(choices))


def read_choices(home: Path, execution_id: str, default: Choices) -> Choices:
    try:
        return msgspec.json.decode((home / "runs" / f"{execution_id}.json").read_bytes(), type=Choices)
    except FileNotFoundError:
        return default
