"""References and functions as an expression in a module sees them."""

import os.path
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.terraform.effort import Effort, ReferenceFault
from pipeyard.definition.terraform.functions import FunctionCall, call_function
from pipeyard.definition.terraform.project import CycleFault
from pipeyard.definition.terraform.repetition import ONCE, Repetition
from pipeyard.definition.terraform.syntax import Span
from pipeyard.definition.terraform.values import (
    Value,
    number,
    text,
    unknown,
)
from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.definition.terraform.modules import Module


class ModuleScope:
    """References and functions as an expression in a module sees them."""

    def __init__(
        self, module: "Module", repetition: Repetition = ONCE, overrides: dict[str, Value] | None = None
    ) -> None:
        self.module = module
        self.repetition = repetition
        self.overrides = overrides or {}

    @property
    def effort(self) -> Effort:
        return self.module.project.effort

    def reference(self, root: str, names: list[str], span: Span) -> tuple[Value, int]:
        module = self.module
        first = names[0] if names else ""
        if root in ("var", "local", "module", "data", "each", "count", "path", "terraform", "self") and not first:
            raise ReferenceFault(f"{root} must be followed by a name", place=span.place)
        match root:
            case "var":
                found = self.overrides.get(f"var.{first}")
                return (found if found is not None else module.variable(first)), 1
            case "local":
                return module.local(first), 1
            case "module":
                return self._module(first, names)
            case "data":
                return self._data(names, span)
            case "each" | "count":
                return self._repeated(root, first, span), 1
            case "path":
                return self._path(first, span), 1
            case "terraform":
                if first in ("workspace", "env"):
                    return text(module.project.workspace()), 1
                if first == "applying":
                    return unknown("terraform.applying is known only during a deployment"), 1
                raise ReferenceFault(f"there is no terraform.{first}", place=span.place)
            case "self":
                raise ReferenceFault("self exists only in provisioners and conditions", place=span.place)
            case "ephemeral":
                return unknown("an ephemeral resource is known only during a deployment"), min(2, len(names))
        return self._resource("resource", root, first, span), 1

    def call(self, name: str, arguments: list[Value], span: Span) -> Value:
        project = self.module.project
        return call_function(name, arguments, FunctionCall(project.folders, self))

    def _module(self, name: str, names: list[str]) -> tuple[Value, int]:
        module = self.module
        block = module.configuration.modules.get(name)
        if block is not None and len(names) > 1 and not {"count", "for_each"} & block.body.attributes.keys():
            try:
                instances = module.child(name)
            except CycleFault:
                raise
            except InputError as error:
                where = f" ({error.place})" if error.place else ""
                return unknown(f"{error.message}{where}"), 1
            return instances[0][1].output(names[1]), 2
        return module.module_value(name), 1

    def _data(self, names: list[str], span: Span) -> tuple[Value, int]:
        if len(names) < 2:
            raise ReferenceFault("data must be followed by a type and a name", place=span.place)
        return self._resource("data", names[0], names[1], span), 2

    def _resource(self, mode: str, kind: str, name: str, span: Span) -> Value:
        module = self.module
        declared = module.configuration.resources if mode == "resource" else module.configuration.data
        prefix = "data." if mode == "data" else ""
        if (kind, name) not in declared:
            known = [f"{prefix}{a}.{b}" for a, b in declared]
            if not name:
                roots = ["var", "local", "module", "data", "each", "count", "path", "terraform"]
                hint = suggestion(kind, roots) or "a resource is referred to by its type and its name"
                raise ReferenceFault(f"nothing is called {kind} here", place=span.place, hint=hint)
            hint = suggestion(f"{prefix}{kind}.{name}", known)
            raise ReferenceFault(f"{prefix}{kind}.{name} is not declared in this module", place=span.place, hint=hint)
        return module.resource(kind, name) if mode == "resource" else module.data(kind, name)

    def _repeated(self, root: str, name: str, span: Span) -> Value:
        repetition = self.repetition
        if repetition.unknown:
            return unknown(*repetition.unknown)
        if root == "count" and name == "index" and isinstance(repetition.key, int):
            return number(repetition.key)
        if root == "each" and isinstance(repetition.key, str) and repetition.value is not None:
            if name == "key":
                return text(repetition.key)
            if name == "value":
                return repetition.value
        needed = "count" if root == "count" else "for_each"
        raise ReferenceFault(f"{root}.{name} exists only where a block has {needed}", place=span.place)

    def _path(self, name: str, span: Span) -> Value:
        root = self.module.project.folders.root
        if name == "module":
            return text(_relative(self.module.folder, root))
        if name == "root":
            return text(".")
        if name == "cwd":
            return text(root.as_posix())
        raise ReferenceFault(
            f"there is no path.{name}", place=span.place, hint="there are path.module, path.root, path.cwd"
        )


def _relative(folder: Path, root: Path) -> str:

    return Path(os.path.relpath(folder, root)).as_posix()


def undeclared(what: str, shown: str, name: str, known: object) -> ReferenceFault:
    names = list(known) if isinstance(known, dict) else []
    hint = suggestion(name, names)
    return ReferenceFault(f"{what} {shown} is not declared", hint=hint)
