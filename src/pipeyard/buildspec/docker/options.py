"""The flags of a docker command, read as its own command line reads them: long, short, joined, repeated."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pipeyard.errors import InputError


class Options(Struct, frozen=True):
    """`values` of each given flag by its long name, in order; a switch has "true"."""

    values: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]

    def last(self, name: str, default: str = "") -> str:
        found = self.values.get(name, ())
        return found[-1] if found else default

    def all(self, name: str) -> tuple[str, ...]:
        return self.values.get(name, ())

    def on(self, name: str) -> bool:
        return self.last(name, "false").lower() in ("true", "1")


def read_options(
    arguments: Iterable[str], *, valued: str, switches: str, short: Mapping[str, str], interspersed: bool = True
) -> Options:
    """`valued` and `switches` are long names, separated by spaces. Without `interspersed`, flags end at the first word.

    Raises InputError with docker's words for a flag that is not known or lacks its value.
    """
    with_value, without = frozenset(valued.split()), frozenset(switches.split())
    todo = list(arguments)
    found: dict[str, list[str]] = {}
    words: list[str] = []

    def value_of(shown: str) -> str:
        if not todo:
            raise InputError(f"flag needs an argument: {shown}")
        return todo.pop(0)

    while todo:
        argument = todo.pop(0)
        if argument == "--":
            words += todo
            break
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            if name in without:
                found.setdefault(name, []).append(value if equals else "true")
            elif name in with_value:
                found.setdefault(name, []).append(value if equals else value_of(argument))
            else:
                raise InputError(f"unknown flag: --{name}")
        elif argument.startswith("-") and len(argument) > 1:
            letters = argument[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                name = short.get(letter, "")
                if name in without:
                    found.setdefault(name, []).append("true")
                elif name in with_value:
                    value = letters.removeprefix("=") if letters else value_of(f"'{letter}' in {argument}")
                    found.setdefault(name, []).append(value)
                    break
                else:
                    raise InputError(f"unknown shorthand flag: '{letter}' in {argument}")
        else:
            words.append(argument)
            if not interspersed:
                words += todo
                break
    return Options({name: tuple(values) for name, values in found.items()}, tuple(words))
