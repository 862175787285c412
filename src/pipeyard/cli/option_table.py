"""Options as data, for commands whose start is felt: read plainly when a command line is plain, by click otherwise.

Both ways read the same table. Help, completion, complaints and everything unusual are click's; importing it and its
parse cost half as much as a small build.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(Struct, frozen=True):
    """`names` as typed, separated by spaces; `key` is the command's argument. `bare` is the value of a name alone."""

    names: str
    key: str
    metavar: str = ""
    help: str = ""
    many: bool = False
    is_flag: bool = False
    choices: tuple[str, ...] = ()
    default: str | None = None
    bare: str = ""


def plainly(words: Sequence[str], argument: str, options: Sequence[Option]) -> dict[str, Any] | None:
    """What click makes of the same words, for one `argument` and options that are spelled out; None for all others.

    Plain are `--name value`, `--name=value`, `-n value` and flags; values that begin with a dash are not.
    """
    named = {name: option for option in options for name in option.names.split()}
    values = {option.key: () if option.many else False if option.is_flag else option.default for option in options}
    found: dict[str, Any] = {}
    given = iter(words)
    for word in given:
        if word == "-" or not word.startswith("-"):
            if argument in found or not word:
                return None
            found[argument] = word
            continue
        name, equals, value = word.partition("=")
        option = named.get(name)
        if option is None or (equals and (option.is_flag or not name.startswith("--"))):
            return None
        if option.is_flag:
            found[option.key] = True
            continue
        if not equals:
            value = option.bare or next(given, "--")
            if value.startswith("-") and value != "-":
                return None
        if option.choices and value not in option.choices:
            return None
        found[option.key] = (*found.get(option.key, ()), value) if option.many else value
    return {**values, **found} if argument in found else None


def spelled_out(words: Sequence[str], options: Sequence[Option]) -> list[str]:
    """The words with the value of each option that stands alone, which click would take from the next word."""
    bare: Mapping[str, str] = {name: option.bare for option in options if option.bare for name in option.names.split()}
    end = words.index("--") if "--" in words else len(words)
    return [f"{word}={bare[word]}" if at < end and word in bare else word for at, word in enumerate(words)]


def for_click(options: Sequence[Option]) -> Callable[[Command], Command]:
    """A decorator that gives a click command these options."""
    import click

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            kind = click.Choice(option.choices) if option.choices else None
            command = click.option(
                *option.names.split(),
                option.key,
                metavar=option.metavar or None,
                help=option.help,
                multiple=option.many,
                is_flag=option.is_flag,
                type=kind,
                default=False if option.is_flag else () if option.many else option.default,
            )(command)
        return command

    return decorate
