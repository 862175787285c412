"""Every function and construct with arguments of every kind: a value, or a placed error, and never a fault of ours."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform.expressions import parse_expression
from pipeyard.definition.terraform.pipelines import value_node
from pipeyard.definition.terraform.reader import open_module
from pipeyard.definition.terraform.syntax import Source
from pipeyard.errors import InputError, Place

NAMES = """
abs abspath alltrue anytrue base64decode base64encode base64gzip base64sha256 base64sha512 basename can ceil chomp
chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat contains csvdecode dirname
distinct element endswith ephemeralasnull file fileexists fileset flatten floor format formatdate formatlist indent
index issensitive join jsondecode jsonencode keys length log lookup lower matchkeys max md5 merge min nonsensitive one
parseint pathexpand pow range regex regexall replace reverse sensitive setintersection setproduct setsubtract setunion
sha1 sha256 sha512 signum slice sort split startswith strcontains strrev substr sum templatefile textdecodebase64
textencodebase64 timeadd timecmp title tobool tolist tomap tonumber toset tostring transpose trim trimprefix trimspace
trimsuffix try type upper urlencode uuidv5 values yamldecode yamlencode zipmap
"""
FUNCTIONS = NAMES.split()

MODULE = """
variable "text" {}
variable "list" { type = list(string) }
variable "object" { type = object({ a = string, b = optional(number) }) }
data "aws_x" "one" {}
data "aws_x" "two" { count = 2 }
resource "aws_z" "each" { for_each = { a = 1 } }
"""

LEAVES = st.sampled_from(
    ["null", "true", "0", "1", "-1", "1.5", '""', '"a"', '"a,b"', '"1"', '"é"', "[]", "{}", '["a", "b"]', "[1, null]",
     "{ a = 1 }", '{ a = "x", b = [1] }', "tolist([])", 'toset(["b", "a"])', "tomap({ a = 1 })", "[[1], [2]]",
     "var.text", "var.list", "var.object", "var.object.b", "data.aws_x.one", "data.aws_x.one.id", "data.aws_x.two",
     "data.aws_x.two[*].id", 'aws_z.each["a"].arn', '"p-${var.text}"', "[var.text]", "{ a = var.text }",
     'sensitive("s")']
)  # fmt: skip


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def built(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda made: form.format(*made))

    call = st.tuples(st.sampled_from(FUNCTIONS), st.lists(inner, min_size=1, max_size=2)).map(
        lambda made: f"{made[0]}({', '.join(made[1])})"
    )
    return st.one_of(
        call,
        call,
        built("({0} ? {1} : {2})", inner, inner, inner),
        built("({0} {1} {2})", inner, st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "&&", "||"]), inner),
        built("[for k, v in {0} : {1} if v != null]", inner, inner),
        built("{{for k, v in {0} : k => v...}}", inner),
        built("{0}[*]", inner),
        built("{0}[{1}]", inner, inner),
        built("[{0}, {1}]", inner, inner),
        built("{{ a = {0}, (try({1}, 1)) = 2 }}", inner, inner),
        built('"<${{{0}}}>"', inner),
        built('"%{{ for x in {0} }}${{x}}%{{ endfor }}"', inner),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("any")
    (made / "main.tf").write_text(MODULE)
    return made


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(LEAVES, larger, max_leaves=6))
def test_any_expression_has_a_value_or_a_placed_error(folder: Path, expression: str) -> None:
    module = open_module(folder, Inputs(planning=True), [])
    refused: InputError | None = None
    try:
        value_node(module.evaluate(parse_expression(Source("expression", expression))), Place("expression"))
    except InputError as error:
        refused = error
    assert refused is None or refused.place is not None
