"""What people get wrong in Terraform, and what they are told: where, what, and what to do."""

import pytest

from tests.definition.terraform.conftest import Read
from tests.definition.terraform.samples import SMALL

KEY = '{ S3Bucket = %s, S3ObjectKey = "k.zip" }\n'
CALL = 'module "m" {\n  source = "./m"\n  bucket_nmae = "x"\n}\n'


@pytest.mark.parametrize(
    ("files", "line", "message", "hint"),
    [
        (
            {"main.tf": SMALL.rstrip()[:-1] % "{}"},
            21,
            "'}' must close the block, not the end",
            "block resource begins at",
        ),
        ({"main.tf": 'locals { l = ["a"] }' + SMALL % (KEY % "local.l[1]")}, 18, "there is no element 1", "element 0"),
        ({"main.tf": SMALL % (KEY % "'b'")}, 18, "is no character", "double quotes"),
        ({"main.tf": SMALL % (KEY % '"a" + "b"')}, 18, "the operand of + is unsuitable", "a template joins text"),
        (
            {"main.tf": SMALL % (KEY % "aws_s3_bucket.a[0].bucket") + 'resource "aws_s3_bucket" "a" {}\n'},
            18,
            "aws_s3_bucket.a is one and has no indices",
            "",
        ),
        (
            {"main.tf": CALL, "m/main.tf": 'variable "bucket_name" { default = "b" }' + SMALL % "{}"},
            3,
            "module m has no variable bucket_nmae",
            "did you mean bucket_name?",
        ),
        ({"main.tf": CALL.replace("./m", "./modul"), "module/main.tf": ""}, 2, "there is no folder ./modul", "module?"),
        ({"main.tf": 'variable "b" { default = upper("x") }' + SMALL % (KEY % "var.b")}, 1, "functions", "local value"),
    ],
)
def test_a_mistake_is_told_once_at_its_place_with_what_to_do(
    files: dict[str, str], line: int, message: str, hint: str, read: Read
) -> None:
    reading = read(files)
    assert reading.definition is None
    (problem,) = [problem for problem in reading.problems if problem.severity == "error"]
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.place.line, problem.place.column > 0) == (line, True)


def test_the_variable_of_a_dynamic_block_is_suggested(read: Read) -> None:
    stage = 'dynamic "stage" {\n for_each = ["x"]\n content {\n name = stages.value\n }\n }\n}\n'
    reading = read({"main.tf": SMALL.rstrip()[:-1] % "{}" + stage})
    assert [problem.hint for problem in reading.problems] == ["did you mean stage?"]
