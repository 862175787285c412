"""Text to instructions."""

import pytest

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.instructions import Add, Copy, Dockerfile, Healthcheck, Onbuild, Run, User
from pipeyard.image.dockerfile.parser import parse, parse_trigger
from pipeyard.image.dockerfile.statements import read_statements


def read(text: str) -> Dockerfile:
    return parse(text.encode(), "Dockerfile")


def only(text: str) -> object:
    """The instruction after `FROM a`."""
    (instruction,) = read("FROM a\n" + text).stages[0].instructions
    return instruction


def failure(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        read(text)
    return caught.value


def test_a_stage_knows_its_image_name_and_platform() -> None:
    (stage,) = read("from --platform=$P Image:1 aS Base").stages
    assert (stage.from_.image.raw, stage.name, stage.from_.name_as_written) == ("Image:1", "base", "Base")
    assert stage.from_.platform is not None
    assert stage.from_.platform.raw == "$P"


def test_arguments_before_the_first_from_are_global() -> None:
    file = read("ARG A=1 B\nFROM a\nARG C\n")
    defaults = {one.name: one.default and one.default.raw for one in file.global_args[0].definitions}
    assert defaults == {"A": "1", "B": None}
    assert len(file.stages[0].instructions) == 1


def test_a_file_of_global_arguments_parses_and_has_no_stage() -> None:
    assert read("ARG A").stages == ()


def test_words_are_placed_in_the_line_where_they_stand() -> None:
    copy = only("COPY --link a \\\n  # why\n\n  bb \\\n c\n")
    assert isinstance(copy, Copy)
    places = [str(word.place) for word in (*copy.sources, copy.destination)]
    assert places == ["Dockerfile:2:13", "Dockerfile:5:3", "Dockerfile:6:2"]
    assert (copy.place, copy.end_line) == (Place("Dockerfile", 2, 1), 6)


def test_words_are_placed_behind_leading_white_space_and_a_byte_order_mark() -> None:
    file = parse(b"\xef\xbb\xbf  FROM  a\r\n\t\\\r\n  USER  b\r\n", "Dockerfile")
    assert file.stages[0].from_.image.place == Place("Dockerfile", 1, 9)
    (user,) = file.stages[0].instructions
    assert isinstance(user, User)
    assert (user.source, user.user.place) == ("USER  b", Place("Dockerfile", 3, 9))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("FROM a\nCOPPY a b\n", "Dockerfile:2:1", "unknown instruction: COPPY"),
        ("FROM a\n\n  ENV A=1 B\n", "Dockerfile:3:3", 'can\'t find = in "B"'),
        ("FROM a\nARG x \\\n  =y\n", "Dockerfile:3:3", "ARG names can not be blank"),
        ("RUN a\n", "Dockerfile:1:1", "no build stage"),
        ("FROM a b\n", "Dockerfile:1:1", "one or three arguments"),
        ("FROM a AS 1\n", "Dockerfile:1:11", "invalid name for build stage"),
        ("FROM a\nRUN <<A <<B\nA\n", "Dockerfile:2:9", "unterminated heredoc"),
        ("FROM a\nRUN --mount=from=$x,target=/x b\n", "Dockerfile:2:1", "variable expansion"),
        ("FROM a\nRUN --network=any b\n", "Dockerfile:2:1", "invalid network mode"),
        ("FROM a\nCOPY a <<E\nE\n", "Dockerfile:2:8", "cannot accept a heredoc as a destination"),
        ('FROM a\nVOLUME [" "]\n', "Dockerfile:2:9", "empty string"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x\n", "Dockerfile:2:1", "less than 1ms"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x\n", "Dockerfile:2:1", "retries"),
        ("FROM a\nONBUILD ENV a\n", "Dockerfile:2:1", "ENV must have two arguments"),
        ("# escape=`\n# escape=`\nFROM a\n", "Dockerfile:2", "only one escape parser directive can be used"),
        ("FROM a\nCOPY --link --link a b\n", "Dockerfile:2:1", "duplicate flag specified: --link"),
        ("FROM a\nCOPY --chown a b\n", "Dockerfile:2:1", "missing a value on flag: --chown"),
        ("FROM a\nCOPY --link=maybe a b\n", "Dockerfile:2:1", "expecting boolean value for flag --link, not: maybe"),
        ("# escape=x\nFROM a\n", "Dockerfile:1", "invalid escape token 'x' does not match"),
        ("FROM a\nRUN " + "x" * 65_536 + "\n", "Dockerfile:2", "line longer than"),
    ],
)
def test_an_error_says_where_and_what(text: str, place: str, words: str) -> None:
    error = failure(text)
    assert str(error.place) == place
    assert words in error.message


def test_a_misspelt_keyword_comes_with_the_right_one() -> None:
    assert failure("FROM a\nrunn x").hint == "did you mean RUN?"


def test_an_exec_form_that_is_no_json_is_shell_form() -> None:
    for text in ("['a']", '["a"', '["a",]', '["a"] b', "[NaN]", "[1e999]"):
        run = only(f"RUN {text}\n")
        assert isinstance(run, Run)
        assert (run.command.arguments, run.command.shell) == ((text,), True)


def test_json_that_is_no_list_of_strings_is_refused() -> None:
    for text in ("[1]", '["a", null]', "[[]]", '["a", {"b": []}]'):
        assert "strings only" in failure(f"FROM a\nCMD {text}\n").message


def test_heredocs_are_read_in_order_and_closed_by_their_own_word() -> None:
    run = only("RUN 3<<-A <<'B' cat\n\tone\n\tA\nA\nB\n")
    assert isinstance(run, Run)
    assert [(doc.name, doc.fd, doc.chomp, doc.expand, doc.content, doc.text) for doc in run.heredocs] == [
        ("A", 3, True, True, "\tone\n", "one\n"),
        ("B", 0, False, False, "A\n", "A\n"),
    ]
    assert run.end_line == 6


def test_a_heredoc_of_copy_is_a_file_and_knows_whether_it_expands() -> None:
    copy = only("COPY x <<'y' <<-z /d/\n$q\ny\n\t$q\n\tz\n")
    assert isinstance(copy, Copy)
    files = [(file.name, file.content, file.expand) for file in copy.files]
    assert files == [("y", "$q\n", False), ("z", "$q\n", True)]
    assert [source.raw for source in copy.sources] == ["x"]


def test_what_looks_like_a_heredoc_within_quotes_opens_none() -> None:
    run = only("RUN echo \"<<A\" '<<B' $((1<<2)) <<<C ${x:-<<D}\n")
    assert isinstance(run, Run)
    assert run.heredocs == ()


def test_flags_lose_quotes_and_escapes() -> None:
    copy = only("COPY --exclude=\"a 'b'\" --exclude='c\\'' --exclude=d\\ e --from=\"\" f g\n")
    assert isinstance(copy, Copy)
    assert copy.exclude == ("a 'b'", "c'", "d e")
    assert copy.from_ is None


def test_flags_of_add_that_are_not_given_are_unknown_not_false() -> None:
    add = only("ADD --unpack=false --checksum=$c a b\n")
    assert isinstance(add, Add)
    assert (add.unpack, add.keep_git_dir, add.link) == (False, None, False)


def test_a_healthcheck_gives_the_test_and_nanoseconds_of_the_configuration() -> None:
    check = only('HEALTHCHECK --interval=1m0.5s --timeout=500ms --retries=3 cmd ["a", "b"]\n')
    assert isinstance(check, Healthcheck)
    assert check.test == ("CMD", "a", "b")
    assert (check.interval_ns, check.timeout_ns, check.retries) == (60_500_000_000, 500_000_000, 3)
    none = only("HEALTHCHECK NONE\n")
    assert isinstance(none, Healthcheck)
    assert none.test == ("NONE",)


def test_a_trigger_is_recorded_with_its_heredocs_and_can_be_read_back() -> None:
    onbuild = only("onbuild  RUN <<E cat\nbody\nE\n")
    assert isinstance(onbuild, Onbuild)
    assert onbuild.trigger == "RUN <<E cat\nbody\nE"
    place = Place("Child", 7, 1)
    run = parse_trigger(onbuild.trigger, place)
    assert isinstance(run, Run)
    assert (run.place, run.heredocs[0].content) == (place, "body\n")


def test_a_trigger_is_judged_when_it_fires() -> None:
    onbuild = only("ONBUILD NONSENSE x\n")
    assert isinstance(onbuild, Onbuild)
    with pytest.raises(DockerfileError, match="unknown instruction"):
        parse_trigger(onbuild.trigger, Place("Child", 1, 1))


def test_directives_end_at_the_first_other_line() -> None:
    file = read("# syntax=a/b:1 x\n#ESCAPE=`\n\n# check=skip=all\nFROM a\nRUN a `\n b\n")
    assert (file.escape, file.syntax and file.syntax.value, file.check) == ("`", "a/b:1 x", None)
    assert file.stages[0].instructions[0].source == "RUN a  b"


def test_only_the_escape_directive_may_stand_behind_white_space() -> None:
    file = read(" # escape=`\n# check=skip=all\nFROM a\n")
    assert (file.escape, file.check) == ("`", None)


def test_a_flag_ends_where_the_line_does() -> None:
    (statement,) = read_statements(b"USER --a\\\v", "Dockerfile").statements
    assert statement.flags == ("--a",)


def test_a_statement_starts_at_the_first_line_that_continues_into_it() -> None:
    statements = read_statements(b"FROM a\n\n\\\n  \\\nUSER b\n", "Dockerfile").statements
    assert [(one.start_line, one.place.line, one.end_line) for one in statements] == [(1, 1, 1), (3, 5, 5)]


def test_a_source_that_only_resembles_a_heredoc_is_a_path() -> None:
    copy = only("COPY a<<b<<${ /c")
    assert isinstance(copy, Copy)
    assert [word.raw for word in copy.sources] == ["a<<b<<${"]


def test_syntax_is_found_behind_a_shebang() -> None:
    found = read("#!/usr/bin/x\n# syntax=s\nFROM a").syntax
    assert found is not None
    assert (found.value, found.place.line) == ("s", 2)


def test_comments_above_an_instruction_belong_to_it_until_an_empty_one() -> None:
    file = read("# far\n#\n# base the base\n\nFROM a AS base\n# x the x\nARG x\nRUN y\n")
    stage = file.stages[0]
    assert (stage.from_.comments, stage.description) == (("base the base",), "the base")
    assert [instruction.comments for instruction in stage.instructions] == [("x the x",), ()]


def test_bytes_that_are_not_utf8_leave_as_they_came() -> None:
    (run,) = parse(b"FROM a\nRUN \xff\xfe\n", "Dockerfile").stages[0].instructions
    assert run.source.encode("utf-8", "surrogateescape") == b"RUN \xff\xfe"


def test_more_words_than_any_real_file_has_are_refused_before_they_are_made() -> None:
    line = b"a " * 30_000 + b"\\\n"
    with pytest.raises(DockerfileError, match="more than 1000000 words"):
        parse(b"FROM a\nEXPOSE " + line * 40 + b"b\n", "Dockerfile")


def test_a_long_command_counts_as_one_word() -> None:
    line = b"a " * 30_000 + b"\\\n"
    (run,) = parse(b"FROM a\nRUN " + line * 40 + b"b\n", "Dockerfile").stages[0].instructions
    assert len(run.source) > 2_000_000
