"""A configuration being evaluated: modules, their variables, locals, outputs and resources, each when first asked for.

Nothing is computed twice; what needs itself is reported as the chain that leads back to it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.terraform.constraints import ANYTHING, Constraint, read_constraint, with_defaults
from pipeyard.definition.terraform.contents import Contents, block_types
from pipeyard.definition.terraform.conversion import ConversionError, as_string, convert
from pipeyard.definition.terraform.effort import TooMuch
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.locals import needed_first
from pipeyard.definition.terraform.names import NO_LOCALS, Locals, NoScope
from pipeyard.definition.terraform.project import CycleFault, Project
from pipeyard.definition.terraform.providers import DEFAULT, passed_regions, provider_regions, region_of
from pipeyard.definition.terraform.repetition import ONCE, Repetition, combined, counted, keyed
from pipeyard.definition.terraform.resources import computed_attributes, known_data
from pipeyard.definition.terraform.scopes import ModuleScope, undeclared
from pipeyard.definition.terraform.syntax import Block, Body, Expression
from pipeyard.definition.terraform.values import (
    BOOL,
    Attributes,
    Cause,
    Value,
    object_of,
    unknown,
)
from pipeyard.errors import InputError

P = ParamSpec("P")
MAX_MODULES = 500

_RESOURCE_META = frozenset({"count", "for_each", "depends_on", "provider", "lifecycle"})
_META = _RESOURCE_META | {"providers", "source", "version"}


class FromElsewhere(InputError):
    """The source of a module is neither local nor installed."""


class WrongCall(InputError):
    """A module is given what it has no variable for."""


class Module:
    """One instance of a module. `given` are the values of its variables, by the caller's rules.

    `inherited` are the regions of the providers that the caller hands on, by their names here.
    """

    def __init__(
        self,
        project: Project,
        folder: Path,
        address: str = "",
        given: Callable[[str, Constraint], Value | None] = lambda name, constraint: None,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self.project = project
        self.folder = folder
        self.address = address
        self.given = given
        self.configuration = project.configuration(folder)
        self._inherited = {DEFAULT: project.inputs.region} if inherited is None else inherited
        self._regions: Mapping[str, str] | None = None
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
            raise undeclared("variable", f"var.{name}", name, self.configuration.variables)
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
        place = block.span.place
        if value is None and default is None:
            if self.address:
                raise InputError(f"{self.address} needs a value for its variable {name}", place=place)
            hint = f"{place} declares it: give it with --var {name}=VALUE, --var-file FILE or TF_VAR_{name}"
            cause = Cause(f"variable {self.called(name)} has no value and no default", hint)
            return unknown(cause, of=constraint.type)
        if value is None and default is not None:
            value = evaluate(default.value, NoScope(), NO_LOCALS)
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
            raise undeclared("local value", f"local.{name}", name, self.configuration.locals)
        if f"local.{name}" not in self._values:
            self._prepare(name)
        return self._memo(f"local.{name}", lambda: self.evaluate(attribute.value))

    def _prepare(self, name: str) -> None:
        """Computes what a local refers to before the local itself, for chains that are too long to recurse into."""
        declared = self.configuration.locals
        for needed in needed_first(name, declared):
            if self.called(f"local.{needed}") in self.project.pending:
                return
            try:
                self._memo(f"local.{needed}", lambda needed=needed: self.evaluate(declared[needed].value))  # type: ignore[misc]
            except InputError:
                return  # whether it is needed shows when the local is computed

    def output(self, name: str) -> Value:
        block = self.configuration.outputs.get(name)
        if block is None:
            raise undeclared("output", f"{self.address}.{name}", name, self.configuration.outputs)
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
        except TooMuch:
            raise
        except InputError as error:
            where = f" ({error.place})" if error.place else ""
            return unknown(f"{error.message}{where}")

    def child(self, name: str) -> list[tuple[Repetition, "Module"]]:
        """The instances of a called module. Raises InputError when its source is not local."""
        if name not in self._children:
            block = self.configuration.modules[name]
            folder = self._source(block)
            _check_arguments(block, self.project.configuration(folder).variables)
            instances = []
            for repetition in self.repetitions(block, f"module.{name}"):
                address = self.called(f"module.{name}{repetition.suffix}")
                given = _arguments(self, block, repetition)
                passed = passed_regions(block, self.regions())
                instances.append((repetition, Module(self.project, folder, address, given, passed)))
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
            raise FromElsewhere(
                f"module {name} comes from {source}, which is not on this machine",
                place=attribute.span.place,
                hint="`terraform init` puts it into .terraform/modules, where it is read; nothing is fetched here",
            )
        folder = (self.folder / source).resolve()
        if not folder.is_dir():
            message = f"there is no folder {source} for module {name}"
            raise InputError(message, place=attribute.span.place, hint=self._folder_like(folder))
        if self.address.count("module.") > 20:
            raise InputError("modules call each other more than 20 levels deep", place=attribute.span.place)
        self.project.folders.allow(folder)
        return folder

    def _folder_like(self, missing: Path) -> str:
        """A suggestion of a folder beside a missing one, within the configuration."""
        beside = missing.parent
        if not beside.is_relative_to(self.project.folders.root) or not beside.is_dir():
            return ""
        return suggestion(missing.name, [path.name for path in beside.iterdir() if path.is_dir()])

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
            raise undeclared("module", f"module.{name}", name, self.configuration.modules)
        try:
            instances = self.child(name)
        except CycleFault:
            raise
        except InputError as error:
            where = f" ({error.place})" if error.place else ""
            return unknown(f"{error.message}{where}")
        return combined([(repetition, child.outputs()) for repetition, child in instances])

    # Resources

    def regions(self) -> Mapping[str, str]:
        """The region of each AWS provider by its name in this module, as far as they can be told."""
        if self._regions is None:
            self._regions = self._inherited  # for whatever a provider's own configuration refers to
            self._regions = provider_regions(
                self.configuration.providers, self._inherited, lambda node: self.forgiving(self.evaluate, node)
            )
        return self._regions

    def _region(self, block: Block, entries: Mapping[str, Value]) -> str:
        own = entries.get("region")  # since version 6 of the provider, any resource may have one
        if own is not None and isinstance(own.raw, str) and own.raw:
            return own.raw
        return region_of(block, self.regions()) or self.project.inputs.region

    def repetitions(self, block: Block, name: str) -> list[Repetition]:
        """The instances that `count` or `for_each` asks for."""
        count, each = block.body.attributes.get("count"), block.body.attributes.get("for_each")
        if count is not None and each is not None:
            raise InputError("a block has count or for_each, not both", place=each.span.place)
        if count is not None:
            return counted(self.evaluate(count.value), count, name)
        if each is not None:
            return keyed(self.evaluate(each.value), each, name)
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
        return combined([(repetition, one(block, name + repetition.suffix, repetition)) for repetition in repetitions])

    def _resource_instance(self, block: Block, address: str, repetition: Repetition) -> Value:
        entries = self._entries(block.body, repetition)
        known = computed_attributes(block.labels[0], entries, self.project.inputs, self._region(block, entries))
        for name, value in known.items():
            if name not in entries or entries[name].is_null:
                entries[name] = value
        return object_of(Attributes(entries, self.called(address)))

    def _data_instance(self, block: Block, address: str, repetition: Repetition) -> Value:
        entries = self._entries(block.body, repetition)
        known = known_data(block.labels[0], entries, self.project.inputs, self._region(block, entries))
        if block.labels[0].startswith(("template_", "local_", "null_")):
            from pipeyard.definition.terraform.functions import FunctionCall
            from pipeyard.definition.terraform.local_data import local_data

            context = FunctionCall(self.project.folders, self.scope(repetition))
            known = local_data(block.labels[0], self.called(address), entries, context)
        return object_of(Attributes({**entries, **known}, self.called(address)))

    def _entries(self, body: Body, repetition: Repetition) -> dict[str, Value]:
        """Arguments and nested blocks as an object has them; nested blocks are lists."""
        entries: dict[str, Value] = {}
        for name, attribute in body.attributes.items():
            if name not in _RESOURCE_META:
                entries[name] = self.forgiving(self.evaluate, attribute.value, repetition)
        for kind in dict.fromkeys(block_types(body)):
            if kind not in _RESOURCE_META:
                entries[kind] = self.forgiving(self._nested, body, kind, repetition)
        return entries

    def _nested(self, body: Body, kind: str, repetition: Repetition) -> Value:
        return Contents(self, body, repetition).objects(kind)


def _check_arguments(block: Block, variables: Mapping[str, Block]) -> None:
    for name, attribute in block.body.attributes.items():
        if name not in variables and name not in _META:
            known = ", ".join(sorted(variables))
            raise WrongCall(
                f"module {block.labels[0]} has no variable {name}",
                place=attribute.span.place,
                hint=suggestion(name, variables) or (f"it has {known}" if known and len(known) < 200 else ""),
            )


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
