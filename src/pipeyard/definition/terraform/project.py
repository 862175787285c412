"""What all modules of one reading share: folders, inputs, parsed files, and what is being computed right now."""

import json
from collections.abc import Callable
from pathlib import Path

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform.configuration import Configuration, load_configuration
from pipeyard.definition.terraform.effort import Effort, ReferenceFault
from pipeyard.definition.terraform.files import Folders
from pipeyard.definition.terraform.values import (
    Value,
)
from pipeyard.errors import InputError


class CycleFault(ReferenceFault):
    """Something needs its own value; `again` is what was asked for a second time."""


class Project:
    """What all modules of one reading share."""

    def __init__(self, root: Path, inputs: Inputs, shown: Callable[[Path], str]) -> None:
        self.folders = Folders(root)
        self.inputs = inputs
        self.shown = shown
        self.modules = 0
        self.effort = Effort()
        self.pending: list[str] = []
        self._configurations: dict[Path, Configuration] = {}
        self._installed: dict[str, str] | None = None

    def configuration(self, folder: Path) -> Configuration:
        if folder not in self._configurations:
            self._configurations[folder] = load_configuration(folder, self.shown, self.folders)
        return self._configurations[folder]

    def installed(self) -> dict[str, str]:
        """Folders of installed modules by the path of their calls: .terraform/modules/modules.json."""
        if self._installed is None:
            self._installed = {}
            path = self.folders.root / ".terraform" / "modules" / "modules.json"
            try:
                found = json.loads(path.read_text(encoding="utf-8"))["Modules"] if path.is_file() else []
                self._installed = {str(one["Key"]): str(one["Dir"]) for one in found}
            except (OSError, ValueError, LookupError, TypeError):
                return self._installed  # not Terraform's: as if nothing were installed
        return self._installed

    def workspace(self) -> str:
        """The chosen workspace: TF_WORKSPACE, else what `terraform workspace select` has left in the folder."""
        chosen = self.inputs.environment.get("TF_WORKSPACE", "")
        if not chosen and self.folders.exists(".terraform/environment"):
            chosen = self.folders.read(".terraform/environment").decode(errors="replace").strip()
        return chosen or "default"

    def once(self, name: str, compute: Callable[[], Value]) -> Value:
        """Computes a value that may need others. Raises CycleFault when it needs itself."""
        if name in self.pending:
            chain = [*self.pending[self.pending.index(name) :], name]
            raise CycleFault(f"{name} needs its own value: {' needs '.join(chain)}")
        if len(self.pending) > 150:
            raise InputError(f"{name} is at the end of more than 150 references")
        self.pending.append(name)
        try:
            return compute()
        finally:
            self.pending.pop()
