"""Values of expressions, from Terraform's documentation and as its console gives them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.terraform import evaluate_in
from pipeyard.definition.terraform.plain import to_plain
from pipeyard.errors import InputError
from tests.definition.terraform.conftest import Write

MODULE = """
variable "branches" { default = ["main", "dev"] }
variable "tags" {
  type    = map(string)
  default = { Team = "core", Env = "prod" }
}
locals {
  name = "shop"
  heredoc = <<-E
      one ${local.name}

        two
      three
    E
  stripped = <<-E
    %{ for b in var.branches ~}
    - ${b}
    %{ endfor ~}
    end
  E
}
resource "aws_instance" "host" {}
"""

VALUES: list[tuple[str, Any]] = [
    # Templates
    ("local.heredoc", "one shop\n\n  two\nthree\n"),
    ("local.stripped", "    - main\n    - dev\n    end\n"),
    ('"${true}${1}"', "true1"),
    ('"a  ${~ "b" ~}  c"', "abc"),
    ('"$${x} %%{y} $ % $$"', "${x} %{y} $ % $$"),
    ('"%{ if false }x%{ else }y%{ endif }"', "y"),
    ('"\\u00e9\\U0001F600\\t"', "é😀\t"),
    # Operators and numbers
    ("0.1 + 0.2", 0.3),
    ("-7 % 3", -1),
    ("1 < 2 == true", True),
    ("2 * 3 % 4", 2),
    ('"1" + 1', 2),
    (
        "tostring(1/3)",
        "0.33333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333"
        "333333333333333333333333333333333333333333333333333333333333335",
    ),
    ("tostring(1e30)", "1000000000000000000000000000000"),
    # Conditionals, and their types
    ('true ? 1 : "a"', "1"),
    ('true ? {a=1} : {b="x"}', {"a": "1"}),
    ("true ? null : [1]", None),
    ("null == null ? true : contains(null, 1)", True),
    ("false ? [1][3] : 2", 2),
    # References
    ("var.tags.Env", "prod"),
    ("var.branches.1", "dev"),
    ("[{a=[1,2]},{a=[3]}][*].a[0]", [1, 3]),
    ("[{a=[1,2]},{a=[3]}].*.a[0]", [1, 2]),
    ("null[*]", []),
    ("{a=1}[*]", [{"a": 1}]),
    # for
    ("[for k, v in {b=1,a=2} : k]", ["a", "b"]),
    ('{for s in ["a","b","a"] : s => 1...}', {"a": [1, 1], "b": [1]}),
    ('[for i, v in toset(["b","a"]) : i]', ["a", "b"]),
    # Functions
    ('format("%5d|%-5d|%05d|%+d", 3, 3, 3, 3)', "    3|3    |00003|+3"),
    ('format("%x %b %e %.2f %q", 255, 5, 12345.678, 1.005, "a\\"b")', 'ff 101 1.234568e+04 1.00 "a\\"b"'),
    ('format("%v %v", 1000000, 0.00001)', "1e+06 1e-05"),
    ('formatlist("%s-%s", "a", ["x","y"])', ["a-x", "a-y"]),
    (
        'regex("^(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?", "https://example.com/docs/")',
        {"authority": "example.com", "scheme": "https"},
    ),
    ('regexall("a*", "baac")', ["", "aa", ""]),
    ('regexall("a(?i)b|c", "aB C c")', ["aB", "C", "c"]),
    ('regexall("a$", "a\\na")', ["a"]),
    ('replace("hello world", "/(\\\\w+) (\\\\w+)/", "$2 $1")', "world hello"),
    ('replace("abc", "/x*/", "-")', "-a-b-c-"),
    ('title("o\'neil a_b 1a")', "O'Neil A_b 1a"),
    ('substr("hello", -3, -1)', "llo"),
    ('length("👨‍👩‍👧")', 1),
    ('strrev("a🏽b")', "ba🏽"),
    ("chunklist([1,2,3], 2)", [[1, 2], [3]]),
    ('coalesce("", "b")', "b"),
    ('setproduct(["a"],[1,2])', [["a", 1], ["a", 2]]),
    ('transpose({a=["1","2"],b=["2"]})', {"1": ["a"], "2": ["a", "b"]}),
    ("range(0, 1, 0.25)", [0, 0.25, 0.5, 0.75]),
    ('parseint("zZ", 62)', 2231),
    ('jsonencode({b="<é>", a=1.50})', '{"a":1.5,"b":"\\u003cé\\u003e"}'),
    ('jsondecode("[1.10, 12345678901234567890123]")', [1.1, 12345678901234567890123]),
    ('yamlencode({a=1, b=["x", {y=[]}], c="m\\nn\\n"})', '"a": 1\n"b":\n- "x"\n- "y": []\n"c": |\n  m\n  n\n'),
    (
        'yamldecode("a: yes\\nb: 017\\nc: 2024-01-01\\nd: &x {q: 1}\\ne: {<<: *x}\\n")',
        {"a": True, "b": 17, "c": "2024-01-01T00:00:00Z", "d": {"q": 1}, "e": {"q": 1}},
    ),
    ('csvdecode("a,b\\n1,2\\n")', [{"a": "1", "b": "2"}]),
    ('cidrsubnets("10.1.0.0/16", 4, 4, 8, 4)', ["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24", "10.1.48.0/20"]),
    ('cidrhost("10.0.0.0/8", -1)', "10.255.255.255"),
    ('cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162)', "fd00:fd12:3456:7800:a200::/72"),
    (
        'formatdate("h H aa ZZZ ZZZZZ Z EEE MMMM", "2024-02-03T00:05:06-05:30")',
        "0 12 am -0530 -05:30 -05:30 Sat February",
    ),
    ('timeadd("2024-01-01T00:00:00+01:00", "-1.5h")', "2023-12-31T22:30:00+01:00"),
    ('uuidv5("dns", "www.example.com")', "2ed6657d-e927-568b-95e1-2665a8aea6a2"),
    ("toset([[2],[1],[10]])", [[10], [1], [2]]),
    ('merge({a=1}, null, {b="x"})', {"a": 1, "b": "x"}),
    ("issensitive({a=sensitive(1)})", False),
    ("can(aws_instance.host.id)", True),
]

ERRORS = [
    "local.nope",
    "try(local.nope, 1)",
    "aws_instance.other.id",
    "each.key",
    "[1,2][5]",
    "[1,2][0.5]",
    "{a=1}.b",
    "0 / 0",
    'nosuch("x")',
    '!"x"',
    '"a${null}b"',
    '"a${[1]}b"',
    '{for s in ["a","a"] : s => 1}',
    'regexall("(?=a)", "a")',
    'regexall("(a)\\\\1", "aa")',
    'file("../x")',
    'file("/etc/hostname")',
    'file("~/x")',
    "tolist([1,true])",
    'tobool("True")',
    'format("%d", 1.5)',
    'format("%s", "a", "b")',
    "1 ==",
    "[1, 2",
    "{a 1}",
    "a.b.*.c.*.d",
]


@pytest.mark.parametrize(("expression", "value"), VALUES, ids=[expression for expression, _ in VALUES])
def test_an_expression_has_the_value_that_terraform_gives(write: Write, expression: str, value: Any) -> None:
    found = to_plain(evaluate_in(write({"main.tf": MODULE}), expression))
    assert json.dumps(found, sort_keys=True, ensure_ascii=False) == json.dumps(
        value, sort_keys=True, ensure_ascii=False
    )


@pytest.mark.parametrize("expression", ERRORS)
def test_what_terraform_refuses_is_a_placed_error(write: Write, expression: str) -> None:
    with pytest.raises(InputError) as caught:
        to_plain(evaluate_in(write({"main.tf": MODULE}), expression))
    assert caught.value.place is not None
    assert caught.value.place.line == 1


def test_an_unknown_function_is_refused_with_a_suggestion(write: Write) -> None:
    with pytest.raises(InputError) as caught:
        evaluate_in(write({"main.tf": MODULE}), 'jsonencod("x")')
    assert "jsonencod" in caught.value.message
    assert caught.value.hint == "did you mean jsonencode?"


@pytest.mark.parametrize("call", ["timestamp()", "uuid()", 'bcrypt("x")', "plantimestamp()"])
def test_what_is_different_each_time_is_unknown_and_named(write: Write, call: str) -> None:
    value = evaluate_in(write({"main.tf": MODULE}), call)
    assert value.is_unknown
    assert call.partition("(")[0] in value.chain[0]


def test_a_template_file_sees_its_own_variables_alone(write: Write) -> None:
    files = {"main.tf": MODULE, "t.tftpl": "%{ for t in tags ~}\n${t},\n%{ endfor ~}\n", "bad.tftpl": "${local.name}"}
    folder = write(files)
    assert evaluate_in(folder, 'templatefile("t.tftpl", { tags = ["a", "b"] })').raw == "a,\nb,\n"
    with pytest.raises(InputError, match="local"):
        evaluate_in(folder, 'templatefile("bad.tftpl", {})')


def test_files_beneath_the_folder_are_found_by_pattern(write: Write) -> None:
    folder = write({"main.tf": MODULE, "a/x.txt": "1", "a/b/y.txt": "2", "z.md": "3"})
    assert to_plain(evaluate_in(folder, 'fileset(".", "**/*.txt")')) == ["a/b/y.txt", "a/x.txt"]
    assert to_plain(evaluate_in(folder, 'fileset("a", "*.{txt,md}")')) == ["x.txt"]
    assert to_plain(evaluate_in(folder, 'fileset(path.module, "*.md")')) == ["z.md"]


def test_a_policy_document_is_rendered(write: Write) -> None:
    main = """
      data "aws_partition" "p" {}
      data "aws_iam_policy_document" "d" {
        statement {
          sid       = "Push"
          actions   = ["ecr:PutImage"]
          resources = ["arn:${data.aws_partition.p.partition}:ecr:*"]
          condition {
            test     = "StringEquals"
            variable = "aws:PrincipalOrgID"
            values   = ["o-1"]
          }
        }
      }
    """
    rendered = json.loads(evaluate_in(write({"main.tf": main}), "data.aws_iam_policy_document.d.json").raw)
    assert rendered == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Push",
                "Effect": "Allow",
                "Action": "ecr:PutImage",
                "Resource": "arn:aws:ecr:*",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
            }
        ],
    }


def test_modules_that_terraform_init_has_installed_are_read(write: Write) -> None:
    modules = {"Modules": [{"Key": "", "Dir": "."}, {"Key": "label", "Dir": ".terraform/modules/label"}]}
    files = {
        "main.tf": 'module "label" {\n  source = "example/label/null"\n  name = "shop"\n}\n',
        ".terraform/modules/modules.json": json.dumps(modules),
        ".terraform/modules/label/main.tf": 'variable "name" {}\noutput "id" { value = "id-${var.name}" }\n',
    }
    assert evaluate_in(write(files), "module.label.id").raw == "id-shop"


def test_values_do_not_depend_on_the_folder_that_the_process_is_in(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write({"main.tf": MODULE, "x.txt": "here"})
    monkeypatch.chdir(tmp_path)
    assert evaluate_in(folder, 'file("x.txt")').raw == "here"
