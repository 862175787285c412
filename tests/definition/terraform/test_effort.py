"""Hostile configuration ends in an error with its place, after a counted effort: no clock decides."""

import pytest

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform import effort, evaluate_in
from pipeyard.definition.terraform.plain import to_plain
from pipeyard.errors import InputError
from tests.definition.terraform.conftest import Read, Write
from tests.definition.terraform.samples import SMALL
from tests.definition.terraform.test_reader import messages


def doubling(first: str, next_: str, times: int = 60) -> str:
    lines = [f"  a{index} = {next_.replace('@', f'local.a{index - 1}')}" for index in range(1, times)]
    return "\n".join(["locals {", f"  a0 = {first}", *lines, "}"])


def nested(times: int) -> str:
    """`for` in `for`, each of one round whose element is the outer one twice."""
    opening = "[for v0 in [[1, 1]] : " + "".join(
        f"[for v{index} in [[v{index - 1}, v{index - 1}]] : " for index in range(1, times)
    )
    return f"{opening}v{times - 1}{']' * times}"


MEGABYTE = """locals {
  short = join("", [for i in range(1000) : "0123456789"])
  long  = join("", [for i in range(100) : local.short])
}"""


@pytest.mark.parametrize(
    ("main", "expression", "reason"),
    [
        (doubling('"xxxxxxxx"', '"${@}${@}"'), "local.a59", "text of more than 20000000 characters"),
        (doubling("[1]", "[@, @]"), "jsonencode(local.a59)", "a value of more than 500000 parts"),
        (doubling("[1]", "[@, @]"), "local.a59 == local.a58", "a value of more than 500000 parts"),
        (doubling("{ x = 1 }", "{ x = @, y = @ }"), "yamlencode(local.a59)", "a value of more than 500000 parts"),
        (doubling("[1]", "concat(@, @)"), "length(local.a59)", "more than 2000000 steps"),
        (doubling("123456789", "@ * @"), "local.a59", "larger or smaller than numbers can be here"),
        ("locals {}", f"jsonencode({nested(60)})", "a value of more than 500000 parts"),
        ("locals {}", "setproduct(range(1000), range(1000), range(1000))", "1000000000 combinations"),
        ("locals {}", 'indent(1000000000, "a\\nb")', "more than 2000000 steps"),
        ("locals {}", "1e999999999", "larger or smaller than numbers can be here"),
        (MEGABYTE, 'replace(local.long, "0", local.long)', "more than 2000000 steps"),
        (MEGABYTE, 'join(local.long, [for i in range(1000) : ""])', "more than 2000000 steps"),
        (MEGABYTE, 'formatlist(local.long, range(1000))', "more than 2000000 steps"),
        (MEGABYTE, 'split("", local.long)', "a value of more than 500000 parts"),
        (MEGABYTE, 'length(regexall("[0-9]", "${local.long}${local.long}${local.long}${local.long}${local.long}"))',
         "more than 2000000 steps"),
    ],
)  # fmt: skip
def test_values_that_grow_without_end_are_refused(write: Write, main: str, expression: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as raised:
        to_plain(evaluate_in(write({"main.tf": main}), expression))
    assert raised.value.place is not None
    assert raised.value.place.line > 0


@pytest.fixture
def little_effort(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(effort, "MAX_STEPS", 20_000)
    return 20_000


@pytest.mark.parametrize(
    "expression",
    [
        "[for a in range(200) : [for b in range(200) : a + b]]",
        '"%{ for a in range(200) }%{ for b in range(200) }x%{ endfor }%{ endfor }"',
        "{ for a in range(200) : a => { for b in range(200) : b => a } }",
        "[for a in range(200) : contains(range(200), a)]",
        "[for a in setproduct(range(50), range(50)) : length(setproduct(a, range(50)))]",
        "[for a in [for i in range(200) : range(200)] : a[*]][*][*]",
        "try([for a in range(200) : [for b in range(200) : a]], 1)",
        "can([for a in range(200) : [for b in range(200) : a]]) ? 1 : 2",
        "[for a in range(200) : range(200) == range(200)]",
        'templatefile("loops.tftpl", {})',
    ],
)
def test_loops_in_loops_take_no_more_steps_than_there_are(write: Write, little_effort: int, expression: str) -> None:
    folder = write(
        {"main.tf": "", "loops.tftpl": "%{ for a in range(200) }%{ for b in range(200) }x%{ endfor }%{ endfor }"}
    )
    with pytest.raises(InputError, match=f"more than {little_effort} steps"):
        evaluate_in(folder, expression)


def test_what_is_within_the_limits_is_not_refused(write: Write, little_effort: int) -> None:
    value = evaluate_in(write({"main.tf": ""}), "[for a in range(50) : [for b in range(50) : a + b]]")
    assert len(to_plain(value)) == 50


def test_a_reading_that_asks_for_too_much_fails_as_a_whole(read: Read, little_effort: int) -> None:
    loops = "locals {\n  big = [for a in range(200) : [for b in range(200) : a]]\n}\n"
    for argument in ("length(local.big)", "try(length(local.big), 1)"):
        reading = read({"main.tf": loops + SMALL % f"{{ A = {argument} }}"}, Inputs(planning=True))
        assert reading.definition is None
        assert f"more than {little_effort} steps" in messages(reading)[0]


def test_a_file_of_variables_has_a_limit_too(read: Read, little_effort: int) -> None:
    digits = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    loops = f"v = [for a in {digits} : [for b in {digits} : [for c in {digits} : [for d in {digits} : a]]]]"
    reading = read({"main.tf": 'variable "v" {}\n' + SMALL % '{ A = "x" }', "terraform.tfvars": loops})
    assert f"more than {little_effort} steps" in messages(reading)[0]


def test_modules_that_call_themselves_are_refused(read: Read) -> None:
    reading = read({"main.tf": 'module "again" {\n  source = "./"\n}\n' + SMALL % '{ A = "x" }'})
    assert any("20 levels deep" in problem.message for problem in reading.problems)
