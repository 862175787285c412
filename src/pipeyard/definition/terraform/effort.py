"""How much a configuration may ask for: counted steps and sizes, so that hostile text ends in an error and not in time.

A step is one node of an expression that is evaluated, or one part of a value that a function goes through. No clock is
read: the same text is refused on every machine, and nothing that is refused on one would be read on another.
"""

from pipeyard.errors import InputError, Place

MAX_STEPS = 2_000_000
MAX_PARTS = 500_000
"""Parts of one value, what is shared counted as often as it occurs; text counts by its length."""
MAX_TEXT = 20_000_000
"""Characters of one text: as many as the largest file may have."""


class ReferenceFault(InputError):
    """A reference to what is not declared: wrong whatever the values, so that `try` and `can` let it pass."""


class TooMuch(ReferenceFault):
    """The configuration asks for more than it may; nothing that is tried instead can help."""


class Effort:
    """Steps that are left to a reading. It belongs to one thread, as everything that reads."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.left = self.steps

    def spend(self, steps: int, place: Place | None = None) -> None:
        """Raises TooMuch when there were not as many left."""
        self.left -= steps
        if self.left < 0:
            self.left = -1
            raise TooMuch(
                f"the configuration takes more than {self.steps} steps to evaluate",
                place=place,
                hint="loops in loops, or values that are built from themselves again and again, need that many",
            )


def check_size(parts: int, characters: int, place: Place | None = None) -> None:
    """Raises TooMuch for a value of so many parts, or text of so many characters, when it is too large."""
    if parts > MAX_PARTS:
        raise TooMuch(f"this makes a value of more than {MAX_PARTS} parts", place=place)
    if characters > MAX_TEXT:
        raise TooMuch(f"this makes text of more than {MAX_TEXT} characters", place=place)
