"""Where each value of a definition stands in the user's files, and what a reader hands out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from pipeyard.definition.model import Definition
from pipeyard.errors import Place, Problem

Keys = tuple[str | int, ...]
"""A way into the model by its API names: ("pipelines", 0, "stages", 1, "actions", 0, "configuration", "ImageTags")."""


class Places:
    """Place of a value by its keys; a missing one answers with the nearest enclosing."""

    def __init__(self, file: str, places: Mapping[Keys, Place] | None = None) -> None:
        self._file = file
        self._places = dict(places or {})

    def __getitem__(self, keys: Keys) -> Place:
        for size in range(len(keys), -1, -1):
            place = self._places.get(keys[:size])
            if place is not None:
                return place
        return Place(self._file)

    def __contains__(self, keys: Keys) -> bool:
        """Whether the value is written in the user's files, also where it is not known and so not in the model."""
        return keys in self._places

    def items(self) -> Iterable[tuple[Keys, Place]]:
        """Every value that has a place of its own."""
        return self._places.items()


class Inputs(Struct, frozen=True, kw_only=True):
    """What the user gives a definition beside its text.

    `parameters` are CloudFormation's; `variables` are Terraform's `--var` (name and text) and `--var-file` (a path) in
    the order given, the last one counts;
    `environment` is where `TF_VAR_*` are looked up. `imports` are values for ImportValue, `ssm` for SSM parameters.
    When `strict`, values that the definition's format never takes are refused: somebody who gives them means them.
    With `planning`, what only a deployment can tell is no error where a pipeline needs it: text stands in for it.
    """

    parameters: Mapping[str, str] = {}
    variables: tuple[tuple[str, str] | Path, ...] = ()
    environment: Mapping[str, str] = {}
    account_id: str = "123456789012"
    region: str = "us-east-1"
    partition: str = "aws"
    stack_name: str = ""
    imports: Mapping[str, str] = {}
    ssm: Mapping[str, str] = {}
    planning: bool = False
    strict: bool = False

    @property
    def url_suffix(self) -> str:
        """The domain of the partition's hosts."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"


NO_INPUTS = Inputs()


class Reading(Struct, frozen=True, kw_only=True):
    """Outcome of reading: `definition` is None when errors among the problems prevented one.

    `open` are the places of values that are not known, of a reading for a plan: what stands there says nothing about
    the pipeline.
    """

    definition: Definition | None
    places: Places
    problems: tuple[Problem, ...] = ()
    open: frozenset[Place] = frozenset()


class Reader(Protocol):
    """One format. Reading is free of side effects and never leaves the given file or folder."""

    def recognises(self, path: Path) -> bool: ...

    def read(self, path: Path, inputs: Inputs) -> Reading:
        """Never raises for what the file says: that is a Problem. Raises InputError when it cannot be read at all."""
