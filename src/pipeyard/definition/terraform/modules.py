"""A configuration being evaluated: modules, their variables, locals, outputs and resources, each when first asked for.

Nothing is computed twice; what needs itself is reported as the chain that leads back to it.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec

from msgspec import Struct

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform.configuration import Configuration, load_configuration
from pipeyard.definition.terraform.constraints import ANYTHING, Constraint, read_constraint, with_defaults
from pipeyard.definition.terraform.conversion import ConversionError, as_string, convert
from pipeyard.definition.terraform.evaluation import NO_LOCALS, Locals, ReferenceFault, evaluate
from pipeyard.definition.terraform.files import Folders
from pipeyard.definition.terraform.functions import FunctionCall, call_function
from pipeyard.definition.terraform.resources import computed_attributes, known_data
from pipeyard.definition.terraform.syntax import Attribute, Block, Body, Expression, Literal, Name, Span
from pipeyard.definition.terraform.values import (
    BOOL,
    NUMBER,
    Attributes,
    SetType,
    Unknown,
    Value,
    is_mapping,
    is_sequence,
    number,
    object_of,
    text,
    tuple_of,
    unknown,
)
from pipeyard.errors import InputError, Place

P = ParamSpec("P")
MAX_MODULES = 500
MAX_INSTANCES = 10_000

_META = frozenset({"count", "for_each", "depends_on", "provider", "providers", "lifecycle", "source", "version"})


class CycleFault(ReferenceFault):
    """Something needs its own value; `again` is what was asked for a second time."""


class Repetition(Struct, frozen=True):
    """Which of several instances: nothing, an index of `count`, or key and value of `for_each`."""

    key: str | int | None = None
    value: Value | None = None
    unknown: tuple[str, ...] = ()  # how many there are is not known: the chain why

    @property
    def suffix(self) -> str:
        if self.key is None:
            return ""
        return f"[{self.key}]" if isinstance(self.key, int) else f'["{self.key}"]'


ONCE = Repetition()


class Project:
    """What all modules of one reading share."""

    def __init__(self, root: Path, inputs: Inputs, shown: Callable[[Path], str]) -> None:
        self.folders = Folders(root)
        self.inputs = inputs
        self.shown = shown
        self.region = inputs.region
        self.modules = 0
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


class Module:
    """One instance of a module. `given` are the values of its variables, by the caller's rules."""

    def __init__(
        self,
        project: Project,
        folder: Path,
        address: str = "",
        given: Callable[[str, Constraint], Value | None] = lambda name, constraint: None,
    ) -> None:
        self.project = project
        self.folder = folder
        self.address = address
        self.given = given
        self.configuration = project.configuration(folder)
        self._values: dict[str, Value] = {}
        self._children: dict[str, list[tuple[Repetition, Module]]] = {}
        project.modules += 1
        if project.modules > MAX_MODULES:
            raise InputError(f"the configuration calls more than {MAX_MODULES} modules")

    def scope(self, repetition: Repetition = ONCE) -> "ModuleScope":
        return ModuleScope(self, repetition)

    def evaluate(self, node: Expression, repetition: Repetition = ONCE, local: Locals = NO_LOCALS) -> Value:
        return evaluate(node, ModuleScope(self, repetition), local)

    def called(self, name: str) -> str:
        return f"{self.address}.{name}" if self.address else name

    def _memo(self, name: str, compute: Callable[[], Value]) -> Value:
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = self.project.once(self.called(name), compute)
        return found

    # Variables

    def variable(self, name: str) -> Value:
        block = self.configuration.variables.get(name)
        if block is None:
            raise _undeclared("variable", f"var.{name}", name, self.configuration.variables)
        return self._memo(f"var.{name}", lambda: self._variable(name, block))

    def constraint(self, name: str) -> Constraint:
        attribute = self.configuration.variables[name].body.attributes.get("type")
        return read_constraint(attribute.value, self.scope()) if attribute else ANYTHING

    def _variable(self, name: str, block: Block) -> Value:
        constraint = self.constraint(name)
        body = block.body
        value = self.given(name, constraint)
        default = body.attributes.get("default")
        if value is not None and value.is_null and default is not None and not self._flag(body, "nullable", True):
            value = None
        if value is None and default is None:
            return unknown(f"variable {self.called(name)} has no value and no default", of=constraint.type)
        place = block.span.place
        if value is None and default is not None:
            value = self.evaluate(default.value)
            place = default.span.place
        assert value is not None
        try:
            value = convert(with_defaults(value, constraint.defaults), constraint.type)
        except ConversionError as error:
            message = f"the value of variable {name} is unsuitable: {error.message}"
            raise InputError(message, place=place, hint=error.hint) from None
        if value.is_null and not self._flag(body, "nullable", True):
            raise InputError(f"variable {name} must not be null", place=place)
        if self._flag(body, "sensitive", False):
            value = Value(value.type, value.raw, True)
        self._validate(name, body, value)
        return value

    def _flag(self, body: Body, name: str, default: bool) -> bool:
        attribute = body.attributes.get(name)
        if attribute is None:
            return default
        value = self.evaluate(attribute.value)
        return bool(convert(value, BOOL).raw) if not value.is_unknown and not value.is_null else default

    def _validate(self, name: str, body: Body, value: Value) -> None:
        for rule in body.of_type("validation"):
            condition = rule.body.attributes.get("condition")
            if condition is None:
                continue
            scope = ModuleScope(self, ONCE, {f"var.{name}": value})
            result = evaluate(condition.value, scope)
            if result.is_unknown or convert(result, BOOL).raw:
                continue
            message = rule.body.attributes.get("error_message")
            told = evaluate(message.value, scope) if message else None
            reason = as_string(told).strip().rstrip(".") if told and not told.is_unknown and not told.is_null else ""
            raise InputError(
                f"variable {name} has an invalid value" + (f": {reason}" if reason else ""),
                place=condition.span.place,
                hint=f"the rule is {condition.value.span.text}" if "\n" not in condition.value.span.text else "",
            )

    # Locals, outputs, modules

    def local(self, name: str) -> Value:
        attribute = self.configuration.locals.get(name)
        if attribute is None:
            raise _undeclared("local value", f"local.{name}", name, self.configuration.locals)
        return self._memo(f"local.{name}", lambda: self.evaluate(attribute.value))

    def output(self, name: str) -> Value:
        block = self.configuration.outputs.get(name)
        if block is None:
            raise _undeclared("output", f"{self.address}.{name}", name, self.configuration.outputs)
        attribute = block.body.attributes.get("value")
        if attribute is None:
            raise InputError(f"output {name} has no value", place=block.span.place)

        def compute() -> Value:
            value = self.evaluate(attribute.value)
            return Value(value.type, value.raw, True) if self._flag(block.body, "sensitive", False) else value

        return self._memo(f"output.{name}", compute)

    def outputs(self) -> Value:
        """All outputs as an object; what fails is unknown until somebody needs it."""
        return object_of({name: self.forgiving(self.output, name) for name in self.configuration.outputs})

    def forgiving(self, compute: Callable[P, Value], *given: P.args, **named: P.kwargs) -> Value:
        """A value of which only a part may be needed: a fault in it is an unknown that tells the fault."""
        try:
            return compute(*given, **named)
        except InputError as error:
            where = f" ({error.place})" if error.place else ""
            return unknown(f"{error.message}{where}")

    def child(self, name: str) -> list[tuple[Repetition, "Module"]]:
        """The instances of a called module. Raises InputError when its source is not local."""
        if name not in self._children:
            block = self.configuration.modules[name]
            folder = self._source(block)
            instances = []
            for repetition in self.repetitions(block, f"module.{name}"):
                address = self.called(f"module.{name}{repetition.suffix}")
                given = _arguments(self, block, repetition)
                instances.append((repetition, Module(self.project, folder, address, given)))
            self._children[name] = instances
        return self._children[name]

    def _source(self, block: Block) -> Path:
        attribute = block.body.attributes.get("source")
        name = block.labels[0]
        if attribute is None:
            raise InputError(f"module {name} has no source", place=block.span.place)
        value = self.evaluate(attribute.value)
        source = as_string(value) if not value.is_null and not value.is_unknown else ""
        if not source.startswith(("./", "../")) and source not in (".", ".."):
            installed = self._installed(name)
            if installed is not None:
                return installed
            raise InputError(
                f"module {name} comes from {source}, which is not on this machine",
                place=attribute.span.place,
                hint="only local modules (./ or ../) are read; the JSON of `terraform show -json` has all resolved",
            )
        folder = (self.folder / source).resolve()
        if not folder.is_dir():
            raise InputError(f"there is no folder {source} for module {name}", place=attribute.span.place)
        if self.address.count("module.") > 20:
            raise InputError("modules call each other more than 20 levels deep", place=attribute.span.place)
        self.project.folders.allow(folder)
        return folder

    def _installed(self, name: str) -> Path | None:
        """Where `terraform init` has put a module that is not local, if it did so beneath the root module's folder."""
        key = re.sub(r"\[[^\]]*\]", "", self.called(name).replace("module.", ""))
        folder = self.project.installed().get(key)
        if folder is None:
            return None
        found = self.project.folders.path(folder)
        return found if found.is_dir() else None

    def module_value(self, name: str) -> Value:
        block = self.configuration.modules.get(name)
        if block is None:
            raise _undeclared("module", f"module.{name}", name, self.configuration.modules)
        try:
            instances = self.child(name)
        except CycleFault:
            raise
        except InputError as error:
            where = f" ({error.place})" if error.place else ""
            return unknown(f"{error.message}{where}")
        return _combined([(repetition, child.outputs()) for repetition, child in instances])

    # Resources

    def repetitions(self, block: Block, name: str) -> list[Repetition]:
        """The instances that `count` or `for_each` asks for."""
        count, each = block.body.attributes.get("count"), block.body.attributes.get("for_each")
        if count is not None and each is not None:
            raise InputError("a block has count or for_each, not both", place=each.span.place)
        if count is not None:
            return _counted(self.evaluate(count.value), count, name)
        if each is not None:
            return _for_each(self.evaluate(each.value), each, name)
        return [ONCE]

    def resource(self, kind: str, name: str) -> Value:
        block = self.configuration.resources[kind, name]
        return self._memo(f"{kind}.{name}", lambda: self._instances(block, f"{kind}.{name}", self._resource_instance))

    def data(self, kind: str, name: str) -> Value:
        block = self.configuration.data[kind, name]
        return self._memo(
            f"data.{kind}.{name}", lambda: self._instances(block, f"data.{kind}.{name}", self._data_instance)
        )

    def _instances(self, block: Block, name: str, one: Callable[[Block, str, Repetition], Value]) -> Value:
        try:
            repetitions = self.repetitions(block, name)
        except CycleFault:
            raise
        except InputError as error:
            return unknown(f"{error.message} ({error.place})" if error.place else error.message)
        return _combined([(repetition, one(block, name + repetition.suffix, repetition)) for repetition in repetitions])

    def _resource_instance(self, block: Block, address: str, repetition: Repetition) -> Value:
        entries = self._entries(block.body, repetition)
        region = self.project.region
        known = computed_attributes(block.labels[0], entries, self.project.inputs, region)
        for name, value in known.items():
            if name not in entries or entries[name].is_null:
                entries[name] = value
        return object_of(Attributes(entries, self.called(address)))

    def _data_instance(self, block: Block, address: str, repetition: Repetition) -> Value:
        entries = self._entries(block.body, repetition)
        known = known_data(block.labels[0], entries, self.project.inputs, self.project.region)
        return object_of(Attributes({**entries, **known}, self.called(address)))

    def _entries(self, body: Body, repetition: Repetition) -> dict[str, Value]:
        """Arguments and nested blocks as an object has them; nested blocks are lists."""
        entries: dict[str, Value] = {}
        for name, attribute in body.attributes.items():
            if name not in _META:
                entries[name] = self.forgiving(self.evaluate, attribute.value, repetition)
        for kind in dict.fromkeys(_block_types(body)):
            if kind not in _META:
                entries[kind] = self.forgiving(self._nested, body, kind, repetition)
        return entries

    def _nested(self, body: Body, kind: str, repetition: Repetition) -> Value:
        return Contents(self, body, repetition).objects(kind)


class Contents(Struct, frozen=True):
    """A body in its scope, with dynamic blocks unrolled."""

    module: Module
    body: Body
    repetition: Repetition
    local: Locals = NO_LOCALS

    def value(self, name: str) -> Value | None:
        """An argument's value; None when it is not set. Raises InputError."""
        attribute = self.body.attributes.get(name)
        return None if attribute is None else self.evaluate(attribute.value)

    def evaluate(self, node: Expression) -> Value:
        return self.module.evaluate(node, self.repetition, self.local)

    def place(self, name: str = "") -> Place:
        attribute = self.body.attributes.get(name)
        return attribute.span.place if attribute else self.body.span.place

    def entries(self) -> dict[str, Value]:
        entries = {
            name: self.module.forgiving(self.evaluate, attribute.value)
            for name, attribute in self.body.attributes.items()
        }
        for kind in dict.fromkeys(_block_types(self.body)):
            entries[kind] = self.module.forgiving(self.objects, kind)
        return entries

    def objects(self, kind: str) -> Value:
        """Nested blocks of a type as a tuple of objects."""
        return tuple_of([object_of(inner.entries()) for inner in self.blocks(kind)])

    def blocks(self, *kinds: str) -> Iterator["Contents"]:
        """Nested blocks of these types in order; those that `dynamic` makes stand at its place.

        Raises InputError, also when it cannot be known how many blocks a dynamic one makes.
        """
        for _, contents in self.typed_blocks(*kinds):
            yield contents

    def typed_blocks(self, *kinds: str) -> Iterator[tuple[str, "Contents"]]:
        for block in self.body.blocks:
            if block.type in kinds:
                yield block.type, Contents(self.module, block.body, self.repetition, self.local)
            elif block.type == "dynamic" and block.labels and block.labels[0] in kinds:
                for contents in self._dynamic(block):
                    yield block.labels[0], contents

    def _dynamic(self, block: Block) -> Iterator["Contents"]:
        each = block.body.attributes.get("for_each")
        content = next(block.body.of_type("content"), None)
        if each is None or content is None:
            raise InputError("a dynamic block has for_each and a content block", place=block.span.place)
        iterator = block.body.attributes.get("iterator")
        name = block.labels[0]
        if iterator is not None:
            if not isinstance(iterator.value, Name | Literal):
                raise InputError("iterator is a plain name", place=iterator.span.place)
            name = str(iterator.value.name if isinstance(iterator.value, Name) else iterator.value.value)
        collection = self.evaluate(each.value)
        if collection.is_unknown:
            raise InputError(
                f"how many {block.labels[0]} blocks there are cannot be known: {'; '.join(collection.chain)}",
                place=each.span.place,
            )
        if collection.is_null:
            return
        from pipeyard.definition.terraform.values import elements

        if not is_sequence(collection.type) and not is_mapping(collection.type):
            raise InputError("for_each of a dynamic block needs a list, set or map", place=each.span.place)
        for key, value in elements(collection):
            local = self.local.naming(**{name: object_of({"key": key, "value": value})})
            yield Contents(self.module, content.body, self.repetition, local)


class ModuleScope:
    """References and functions as an expression in a module sees them."""

    def __init__(
        self, module: Module, repetition: Repetition = ONCE, overrides: dict[str, Value] | None = None
    ) -> None:
        self.module = module
        self.repetition = repetition
        self.overrides = overrides or {}

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
                    return text(module.project.inputs.environment.get("TF_WORKSPACE", "") or "default"), 1
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
    import os.path

    return Path(os.path.relpath(folder, root)).as_posix()


def _arguments(caller: Module, block: Block, repetition: Repetition) -> Callable[[str, Constraint], Value | None]:
    """The variables of a called module, evaluated in the caller."""

    def given(name: str, constraint: Constraint) -> Value | None:
        attribute = block.body.attributes.get(name)
        if attribute is None or name in _META:
            return None
        value = caller.evaluate(attribute.value, repetition)
        try:
            return convert(with_defaults(value, constraint.defaults), constraint.type)
        except ConversionError as error:
            raise InputError(
                f"{name} of module {block.labels[0]} is unsuitable: {error.message}",
                place=attribute.span.place,
                hint=error.hint,
            ) from None

    return given


def _undeclared(what: str, shown: str, name: str, known: object) -> ReferenceFault:
    names = list(known) if isinstance(known, dict) else []
    hint = suggestion(name, names)
    return ReferenceFault(f"{what} {shown} is not declared", hint=hint)


def _combined(instances: list[tuple[Repetition, Value]]) -> Value:
    """One value for a block: the instance itself, a tuple by index, or an object by key."""
    if len(instances) == 1:
        repetition, value = instances[0]
        if repetition.unknown:
            return unknown(*repetition.unknown)
        if repetition.key is None:
            return value
    if all(isinstance(repetition.key, int) for repetition, _ in instances):
        return tuple_of([value for _, value in instances])
    return object_of({str(repetition.key): value for repetition, value in instances})


def _counted(value: Value, attribute: Attribute, name: str) -> list[Repetition]:
    if value.is_unknown:
        return [Repetition(unknown=(f"how many {name} there are is not known", *value.chain))]
    if value.is_null:
        raise InputError("count cannot be null", place=attribute.span.place)
    try:
        size = convert(value, NUMBER).raw
    except ConversionError as error:
        raise InputError(f"count is unsuitable: {error.message}", place=attribute.span.place) from None
    if not isinstance(size, int) or not 0 <= size <= MAX_INSTANCES:
        raise InputError(f"count must be a whole number from 0 to {MAX_INSTANCES}", place=attribute.span.place)
    return [Repetition(index) for index in range(size)]


def _for_each(value: Value, attribute: Attribute, name: str) -> list[Repetition]:
    place = attribute.span.place
    if value.is_unknown:
        return [Repetition(unknown=(f"how many {name} there are is not known", *value.chain))]
    if value.is_null:
        raise InputError("for_each cannot be null", place=place)
    if is_mapping(value.type):
        return [Repetition(key, item) for key, item in sorted(value.entries.items())]
    if isinstance(value.type, SetType):
        found: list[Repetition] = []
        for item in value.items:
            if isinstance(item.raw, Unknown):
                return [Repetition(unknown=(f"how many {name} there are is not known", *item.chain))]
            if not isinstance(item.raw, str):
                raise InputError("for_each takes a set of strings", place=place)
            found.append(Repetition(item.raw, item))
        return found
    hint = "toset makes a set of a list" if is_sequence(value.type) else ""
    raise InputError("for_each takes a map or a set of strings", place=place, hint=hint)


def _block_types(body: Body) -> Iterator[str]:
    for block in body.blocks:
        yield block.labels[0] if block.type == "dynamic" and block.labels else block.type


def default_region(module: Module) -> str:
    """The region of the default `provider "aws"`, or empty when it cannot be told."""
    for block in module.configuration.providers:
        if block.labels == ("aws",) and "alias" not in block.body.attributes and "region" in block.body.attributes:
            value = module.forgiving(module.evaluate, block.body.attributes["region"].value)
            if isinstance(value.raw, str):
                return value.raw
    return ""
