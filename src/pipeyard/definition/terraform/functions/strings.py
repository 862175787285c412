"""String functions."""

from pipeyard.definition.patterns import Match, Pattern, PatternError, compile_pattern, replace_all
from pipeyard.definition.terraform.formatting import format_text
from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionCall,
    FunctionFault,
    Parameter,
    Table,
    anything,
    numeral,
    string,
    strings,
)
from pipeyard.definition.terraform.graphemes import graphemes
from pipeyard.definition.terraform.values import (
    BOOL,
    STRING,
    ListType,
    ObjectType,
    TupleType,
    Type,
    Value,
    boolean,
    is_sequence,
    list_of,
    null,
    object_of,
    text,
    tuple_of,
)


def _chomp(given: Value) -> Value:
    return text(given.raw.rstrip("\r\n"))


def _ends_with(given: Value, suffix: Value) -> Value:
    return boolean(given.raw.endswith(suffix.raw))


def _starts_with(given: Value, prefix: Value) -> Value:
    return boolean(given.raw.startswith(prefix.raw))


def _contains(given: Value, part: Value) -> Value:
    return boolean(part.raw in given.raw)


def _format(template: Value, *arguments: Value) -> Value:
    return text(format_text(template.raw, arguments))


def _format_list(template: Value, *arguments: Value) -> Value:
    sizes = {len(argument.items) for argument in arguments if not argument.is_null and is_sequence(argument.type)}
    if len(sizes) > 1:
        raise FunctionFault("all lists given to formatlist must have the same length")
    size = sizes.pop() if sizes else 1
    results = [
        format_text(
            template.raw,
            [
                argument.items[index] if not argument.is_null and is_sequence(argument.type) else argument
                for argument in arguments
            ],
        )
        for index in range(size)
    ]
    return list_of(map(text, results), STRING)


def _indent(spaces: Value, given: Value) -> Value:
    if not isinstance(spaces.raw, int) or not 0 <= spaces.raw <= 10_000:
        raise FunctionFault("the number of spaces must be a whole number that is not negative")
    return text(given.raw.replace("\n", "\n" + " " * spaces.raw))


def _join(separator: Value, *lists: Value) -> Value:
    pieces: list[str] = []
    for given in lists:
        for index, item in enumerate(given.items):
            if item.is_null:
                raise FunctionFault(f"element {index} of a list given to join is null")
            pieces.append(item.raw)
    if not lists:
        raise FunctionFault("join needs at least one list")
    return text(separator.raw.join(pieces))


def _one_by_one(text_of: str, upper: bool) -> str:
    # Letter by letter, as Go does it: ß has no capital of one letter and stays.
    changed = (letter.upper() if upper else letter.lower() for letter in text_of)
    return "".join(new if len(new) == 1 else old for old, new in zip(text_of, changed, strict=True))


def _lower(given: Value) -> Value:
    return text(_one_by_one(given.raw, upper=False))


def _upper(given: Value) -> Value:
    return text(_one_by_one(given.raw, upper=True))


def _title(given: Value) -> Value:
    out: list[str] = []
    begins = True
    for letter in given.raw:
        out.append(_one_by_one(letter, upper=True) if begins else letter)
        begins = _separates(letter)
    return text("".join(out))


def _separates(letter: str) -> bool:
    if letter.isascii():
        return not (letter.isalnum() or letter == "_")
    return not letter.isalnum() and letter.isspace()


def _pattern(given: Value) -> Pattern:
    try:
        return compile_pattern(given.raw)
    except PatternError as error:
        raise FunctionFault(str(error)) from None


def _captures(pattern: Pattern, match: Match) -> Value:
    groups = [null(STRING) if found is None else text(found) for found in match.groups]
    if not pattern.groups:
        return groups[0]
    if not pattern.names:
        return tuple_of(groups[1:])
    if len(pattern.names) != pattern.groups:
        raise FunctionFault("either all groups of a pattern have names, or none")
    return object_of({name: groups[index] for name, index in pattern.names.items()})


def _regex(given: Value, subject: Value) -> Value:
    pattern = _pattern(given)
    found = pattern.search(subject.raw)
    if found is None:
        raise FunctionFault(f"the pattern {given.raw!r} matches nothing in {subject.raw[:60]!r}")
    return _captures(pattern, found)


def _regex_all(given: Value, subject: Value) -> Value:
    pattern = _pattern(given)
    results = [_captures(pattern, found) for found in pattern.matches(subject.raw)]
    kind = results[0].type if results else (STRING if not pattern.groups else _empty_kind(pattern))
    return list_of(results, kind)


def _empty_kind(pattern: Pattern) -> Type:
    if pattern.names:
        return ObjectType(tuple((name, STRING) for name in sorted(pattern.names)))
    return TupleType((STRING,) * pattern.groups)


def _replace(given: Value, part: Value, replacement: Value) -> Value:
    wanted: str = part.raw
    if len(wanted) > 1 and wanted.startswith("/") and wanted.endswith("/"):
        return text(replace_all(_pattern(text(wanted[1:-1])), given.raw, replacement.raw))
    return text(given.raw.replace(wanted, replacement.raw))


def _split(separator: Value, given: Value) -> Value:
    pieces = given.raw.split(separator.raw) if separator.raw else list(given.raw)
    return list_of(map(text, pieces), STRING)


def _reverse(given: Value) -> Value:
    return text("".join(reversed(graphemes(given.raw))))


def _part(given: Value, offset: Value, length: Value) -> Value:
    if not isinstance(offset.raw, int) or not isinstance(length.raw, int):
        raise FunctionFault("offset and length must be whole numbers")
    letters = graphemes(given.raw)
    start = offset.raw + len(letters) if offset.raw < 0 else offset.raw
    start = max(start, 0)
    end = len(letters) if length.raw < 0 else start + length.raw
    return text("".join(letters[start:end]))


def _trim(given: Value, characters: Value) -> Value:
    return text(given.raw.strip(characters.raw) if characters.raw else given.raw)


def _trim_prefix(given: Value, prefix: Value) -> Value:
    return text(given.raw.removeprefix(prefix.raw))


def _trim_suffix(given: Value, suffix: Value) -> Value:
    return text(given.raw.removesuffix(suffix.raw))


def _trim_space(given: Value) -> Value:
    return text(
        given.raw.strip(
            " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
            "\u200a\u2028\u2029\u202f\u205f\u3000"
        )
    )


def _template_text(context: FunctionCall, template: Value, variables: Value) -> Value:
    from pipeyard.definition.terraform.functions.paths import render_template

    return render_template(context, "templatestring", template.raw, variables)


FUNCTIONS: Table = {
    "chomp": Function(_chomp, (string("str"),), returns=STRING),
    "endswith": Function(_ends_with, (string("str"), string("suffix")), returns=BOOL),
    "format": Function(_format, (string("format"),), rest=anything("args", null=True), returns=STRING),
    "formatlist": Function(
        _format_list, (string("format"),), rest=anything("args", null=True), returns=ListType(STRING)
    ),
    "indent": Function(_indent, (numeral("spaces"), string("str")), returns=STRING),
    "join": Function(_join, (string("separator"),), rest=strings("lists"), returns=STRING),
    "lower": Function(_lower, (string("str"),), returns=STRING),
    "regex": Function(_regex, (string("pattern"), string("string"))),
    "regexall": Function(_regex_all, (string("pattern"), string("string"))),
    "replace": Function(_replace, (string("str"), string("substr"), string("replace")), returns=STRING),
    "split": Function(_split, (string("separator"), string("str")), returns=ListType(STRING)),
    "startswith": Function(_starts_with, (string("str"), string("prefix")), returns=BOOL),
    "strcontains": Function(_contains, (string("str"), string("substr")), returns=BOOL),
    "strrev": Function(_reverse, (string("str"),), returns=STRING),
    "substr": Function(_part, (string("str"), numeral("offset"), numeral("length")), returns=STRING),
    "templatestring": Function(
        _template_text, (string("template"), Parameter("vars")), returns=STRING, contextual=True
    ),
    "title": Function(_title, (string("str"),), returns=STRING),
    "trim": Function(_trim, (string("str"), string("cutset")), returns=STRING),
    "trimprefix": Function(_trim_prefix, (string("str"), string("prefix")), returns=STRING),
    "trimsuffix": Function(_trim_suffix, (string("str"), string("suffix")), returns=STRING),
    "trimspace": Function(_trim_space, (string("str"),), returns=STRING),
    "upper": Function(_upper, (string("str"),), returns=STRING),
}
