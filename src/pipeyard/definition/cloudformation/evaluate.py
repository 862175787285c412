"""A template's values as a deployment would compute them: parameters, mappings, conditions and intrinsic functions.

Nothing is evaluated before somebody asks for it, so what a pipeline does not use cannot fail. What only a deployment
knows is an Unknown that carries the chain of references which led to it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pipeyard.definition.cloudformation.computing import (
    arguments,
    because,
    encode,
    length,
    placed,
    select,
    split,
    subnets,
    to_json_string,
    zones,
)
from pipeyard.definition.cloudformation.conditions import CONDITION_FUNCTIONS, Conditions
from pipeyard.definition.cloudformation.lookups import find_in_map, import_value, transform
from pipeyard.definition.cloudformation.loops import has_loops, unroll
from pipeyard.definition.cloudformation.pseudo_parameters import pseudo_parameter
from pipeyard.definition.cloudformation.resources import KINDS, NAMELESS, generated_id, generated_name, generated_token
from pipeyard.definition.cloudformation.substitution import join, sub
from pipeyard.definition.declaration import suggestion
from pipeyard.definition.documents import (
    KNOWN_LATER,
    MAX_NODES,
    Items,
    Leaf,
    Node,
    Table,
    Unknown,
    text_leaf,
    value_leaf,
)
from pipeyard.definition.places import Inputs
from pipeyard.errors import InputError, Place, located

_MAX_DEPTH = 64  # a chain of references costs nine frames of Python for each link

NESTED: Mapping[str, str] = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}
"""Resource types that are stacks of their own, and the property that names the template of each."""

_FROM_PARAMETER_STORE = re.compile(r"\{\{resolve:ssm:([^:}]+)(?::[0-9]+)?\}\}")

OpenNested = Callable[[str, Mapping[str, Node], str], "Evaluator | None"]
"""(file name, parameters, stack name) -> the nested template's evaluator, or None when the file is not at hand."""


class Evaluator:
    """One template with its inputs. Not for several threads: it remembers what it has computed.

    Every method that evaluates raises InputError, placed, for a function that is used wrongly.
    """

    def __init__(
        self,
        template: Table,
        parameters: Mapping[str, Node],
        inputs: Inputs,
        stack: str,
        open_nested: OpenNested = lambda name, parameters, stack: None,
    ) -> None:
        self.template = template
        self.parameters = parameters
        self.inputs = inputs
        self.stack = stack
        self._budget = [MAX_NODES]
        self._depth = 0
        self._open: list[str] = []  # conditions and resources that are being computed, to find circles
        self._names: dict[str, Leaf | Unknown] = {}
        self._open_nested = open_nested
        self._nested: dict[str, Evaluator | None] = {}
        self._functions: Mapping[str, Callable[[Node, Place], Node]] = {
            "Ref": self._ref,
            "Fn::Base64": partial(encode, self),
            "Fn::Cidr": partial(subnets, self),
            "Fn::FindInMap": lambda node, place: find_in_map(self, self._mappings, node, place),
            "Fn::GetAtt": self._get_att,
            "Fn::GetAZs": partial(zones, self),
            "Fn::If": self._if,
            "Fn::ImportValue": partial(import_value, self),
            "Fn::Join": partial(join, self),
            "Fn::Length": partial(length, self),
            "Fn::Select": partial(select, self),
            "Fn::Split": partial(split, self),
            "Fn::Sub": self._sub,
            "Fn::ToJsonString": partial(to_json_string, self),
            "Fn::Transform": transform,
        }
        self.resources = self._section("Resources")
        self.conditions = Conditions(self._section("Conditions"), self, self._computing)
        self._mappings = self._section("Mappings")

    def _section(self, name: str) -> Table:
        found = self.template.get(name)
        table = found if isinstance(found, Table) else Table({}, {}, self.template.place)
        return unroll(table, self.evaluate, self._budget) if has_loops(table) else table

    def evaluate(self, node: Node) -> Node:
        """The node's value: no function is left in it, and what is AWS::NoValue or null is left out."""
        self._depth += 1
        self._budget[0] -= 1
        try:
            if self._depth > _MAX_DEPTH or self._budget[0] < 0:
                raise InputError("nested too deeply, or too large", place=node.place)
            return self._evaluate(node)
        finally:
            self._depth -= 1

    def _evaluate(self, node: Node) -> Node:
        match node:
            case Items():
                values = (self.evaluate(child) for child in node.nodes)
                return Items(tuple(value for value in values if not _is_nothing(value)), node.place)
            case Table():
                if len(node.entries) == 1:
                    ((key, argument),) = node.entries.items()
                    function = self._functions.get(key)
                    if function is not None:
                        with located(node.place):
                            return function(argument, node.place)
                    if key in CONDITION_FUNCTIONS:
                        truth = self.conditions.holds(node)
                        return truth if isinstance(truth, Unknown) else value_leaf(truth, node.place)
                    if key.startswith("Fn::") and not has_loops(node):
                        raise InputError(
                            f"there is no function {key}", place=node.place, hint=suggestion(key, self._functions)
                        )
                table = unroll(node, self.evaluate, self._budget) if has_loops(node) else node
                entries = {key: self.evaluate(child) for key, child in table.entries.items()}
                kept = {key: value for key, value in entries.items() if not _is_nothing(value)}
                return Table(kept, table.key_places, table.place)
            case Leaf():
                return self._resolved(node) if "{{resolve:ssm:" in node.text else node
            case Unknown():
                return node

    def _resolved(self, node: Leaf) -> Node:
        """Dynamic references to Parameter Store with the values that were given; secrets stay as they are written."""
        given = self.inputs.ssm
        text = _FROM_PARAMETER_STORE.sub(lambda found: given.get(found[1], found[0]), node.text)
        return text_leaf(text, node.place)

    def text(self, node: Node, what: str) -> Leaf | Unknown:
        """The value as text. Raises InputError when it is a list or a mapping."""
        value = self.evaluate(node)
        if isinstance(value, Items | Table):
            raise InputError(f"{what} must be text", place=node.place)
        return value

    def is_wanted(self, logical_id: str) -> bool | Unknown:
        """Whether the resource's own Condition lets it be made."""
        resource = self.resources.get(logical_id)
        condition = resource.get("Condition") if isinstance(resource, Table) else None
        return self.conditions.named(condition.text, condition.place) if isinstance(condition, Leaf) else True

    @contextmanager
    def _computing(self, what: str, place: Place) -> Iterator[None]:
        if what in self._open:
            circle = [*self._open[self._open.index(what) :], what]
            raise InputError(f"refers to itself: {' -> '.join(circle)}", place=place)
        self._open.append(what)
        try:
            yield
        finally:
            self._open.pop()

    # References

    def _ref(self, argument: Node, place: Place) -> Node:
        name = self.literal(argument, "Ref")
        return self.reference(name, place)

    def reference(self, name: str, place: Place) -> Node:
        """The value of Ref."""
        if name.startswith("AWS::"):
            return pseudo_parameter(name, self.inputs, self.stack, place)
        if name in self.parameters:
            value = self.parameters[name]
            return because(value, f"Ref {name}", place) if isinstance(value, Unknown) else placed(value, place)
        if name in self.resources.entries:
            return self.attribute(name, "", place)
        known = [*self.parameters, *self.resources.entries]
        raise InputError(
            f"Ref {name}: there is no such parameter or resource", place=place, hint=suggestion(name, known)
        )

    def _get_att(self, argument: Node, place: Place) -> Node:
        if isinstance(argument, Items):
            logical, attribute = arguments(argument, "Fn::GetAtt", 2, 2)
            name = self.literal(logical, "Fn::GetAtt")
            wanted = self.text(attribute, "the attribute of Fn::GetAtt")
            if isinstance(wanted, Unknown):
                return wanted
            return self.attribute(name, wanted.text, place)
        name, _, wanted_text = self.literal(argument, "Fn::GetAtt").partition(".")
        return self.attribute(name, wanted_text, place)

    def attribute(self, logical_id: str, attribute: str, place: Place) -> Node:
        """The value of Fn::GetAtt, or of Ref when `attribute` is empty."""
        resource = self.resources.get(logical_id)
        step = f"Fn::GetAtt {logical_id}.{attribute}" if attribute else f"Ref {logical_id}"
        if not isinstance(resource, Table):
            hint = suggestion(logical_id, self.resources.entries)
            raise InputError(f"{step}: there is no resource {logical_id!r}", place=place, hint=hint)
        type_name = self.resource_type(resource)
        if type_name in NESTED and attribute.startswith("Outputs."):
            inner = self.nested_stack(logical_id)
            if inner is not None:
                return inner.output(attribute.removeprefix("Outputs."), step, place)
        kind = KINDS.get(type_name)
        template = (kind.attributes.get(attribute) if attribute else kind.ref) if kind else None
        if kind and attribute in kind.properties:
            value = self.evaluate(self.properties(logical_id).get(kind.properties[attribute]) or Leaf(None, "", place))
            return because(value, step, place) if isinstance(value, Unknown) else placed(value, place)
        if template is None:
            shown = f"${{{logical_id}.{attribute}}}" if attribute else f"${{{logical_id}}}"
            return Unknown((step, f"{type_name} tells it only when it is deployed"), place, "", shown)
        with self._computing(f"resource {logical_id}", place):
            return self._filled(template, logical_id, step, place)

    def _filled(self, template: str, logical_id: str, step: str, place: Place) -> Node:
        values = {
            "id": generated_id(self.stack, logical_id),
            "token": generated_token(self.stack, logical_id),
            "partition": self.inputs.partition,
            "region": self.inputs.region,
            "account": self.inputs.account_id,
            "suffix": self.inputs.url_suffix,
        }
        unknown: Unknown | None = None
        for field, key, default in (("name", "", ""), ("path", "Path", "/"), ("cluster", "Cluster", "default")):
            if f"{{{field}}}" not in template:
                continue
            found = self.properties(logical_id).get(key)
            if field == "name":
                value = self.physical_name(logical_id)
            else:
                value = self.text(found, key) if found is not None else text_leaf(default, place)
            if isinstance(value, Unknown):
                unknown = unknown or because(value, step, place)
                values[field] = value.text or KNOWN_LATER
            else:
                values[field] = value.text
        text = template.format_map(values)
        return Unknown(unknown.chain, place, unknown.hint, text) if unknown else text_leaf(text, place)

    def nested_stack(self, logical_id: str) -> "Evaluator | None":
        """The evaluator of a nested stack whose template is at hand, the same one each time."""
        if logical_id not in self._nested:
            name = self._template_file(logical_id)
            given = self.properties(logical_id).get("Parameters")
            entries = given.entries if isinstance(given, Table) else {}
            with self._computing(f"resource {logical_id}", self.resources.key_place(logical_id)):
                parameters = {key: self.evaluate(node) for key, node in entries.items()} if name else {}
            stack = generated_name(self.stack, logical_id, lower=False)
            self._nested[logical_id] = self._open_nested(name, parameters, stack) if name else None
        return self._nested[logical_id]

    def _template_file(self, logical_id: str) -> str:
        """The file that the CDK noted, or the URL or path of the template; empty when it is not known."""
        resource = self.resources.get(logical_id)
        metadata = resource.get("Metadata") if isinstance(resource, Table) else None
        noted = metadata.get("aws:asset:path") if isinstance(metadata, Table) else None
        kind = self.resource_type(resource) if isinstance(resource, Table) else ""
        written = noted or self.properties(logical_id).get(NESTED.get(kind, ""))
        if isinstance(written, Table) and "ApplicationId" in written.entries:
            return ""  # an application of the Serverless Application Repository
        value = self.text(written, "TemplateURL") if written is not None else None
        return value.text if value is not None else ""  # of an unknown one, a file's name may be known

    def output(self, name: str, step: str, place: Place) -> Node:
        """The value of one of the template's outputs, for the stack around it."""
        outputs = self.template.get("Outputs")
        found = outputs.get(name) if isinstance(outputs, Table) else None
        value = found.get("Value") if isinstance(found, Table) else None
        if value is None:
            known = outputs.entries if isinstance(outputs, Table) else {}
            raise InputError(
                f"{step}: the nested template has no output {name!r}", place=place, hint=suggestion(name, known)
            )
        answer = self.evaluate(value)
        return because(answer, step, place) if isinstance(answer, Unknown) else placed(answer, place)

    def resource_type(self, resource: Table) -> str:
        found = resource.get("Type")
        return found.text if isinstance(found, Leaf) else ""

    def properties(self, logical_id: str) -> Table:
        """A resource's properties as written."""
        resource = self.resources.get(logical_id)
        found = resource.get("Properties") if isinstance(resource, Table) else None
        if isinstance(found, Table):
            return found
        return Table({}, {}, resource.place if resource else self.resources.place)

    def physical_name(self, logical_id: str) -> Leaf | Unknown:
        """The resource's name: its property, or the one that a deployment would generate."""
        if logical_id not in self._names:
            self._names[logical_id] = self._physical_name(logical_id)
        return self._names[logical_id]

    def _physical_name(self, logical_id: str) -> Leaf | Unknown:
        resource = self.resources.get(logical_id)
        place = resource.place if resource else self.resources.place
        kind = KINDS.get(self.resource_type(resource) if isinstance(resource, Table) else "", NAMELESS)
        declared = self.properties(logical_id).get(kind.name) if kind.name else None
        if declared is not None:
            value = self.text(declared, kind.name)
            if isinstance(value, Unknown) or value.value is not None:
                return value
        if isinstance(resource, Table) and self.resource_type(resource) == "AWS::CodePipeline::Pipeline":
            # People type a pipeline's name; without one the logical id is what they know it by.
            return text_leaf(logical_id, place)
        return text_leaf(generated_name(self.stack, logical_id, lower=kind.lower), place)

    def _sub(self, argument: Node, place: Place) -> Node:
        text = sub(self, argument, place)
        return self._resolved(text) if isinstance(text, Leaf) else text

    def _if(self, argument: Node, place: Place) -> Node:
        name, then, otherwise = arguments(argument, "Fn::If", 3, 3)
        truth = self.conditions.named(name.text, name.place) if isinstance(name, Leaf) else self.conditions.holds(name)
        if isinstance(truth, Unknown):
            return because(truth, "Fn::If", place)
        return self.evaluate(then if truth else otherwise)

    def literal(self, node: Node, function: str) -> str:
        value = node if isinstance(node, Leaf) else self.evaluate(node)
        if not isinstance(value, Leaf):
            raise InputError(f"{function} needs text here", place=node.place)
        return value.text


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Leaf) and node.value is None
