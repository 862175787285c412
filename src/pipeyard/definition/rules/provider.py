"""What one action type, or one rule of a condition, takes: artifacts, configuration keys, output variables."""

from collections.abc import Mapping

from msgspec import Struct


class Setting(Struct, frozen=True, kw_only=True):
    """One configuration key. `values`: all that it may hold. `numbers`: the least and the most."""

    required: bool = False
    values: tuple[str, ...] = ()
    numbers: tuple[int, int] | None = None


class Provider(Struct, frozen=True, kw_only=True):
    """One action type. `inputs` and `outputs` are the least and most artifacts.

    `settings` None: the keys are not checked. `variables` None: the action decides at run time what it puts out.
    """

    category: str
    provider: str
    owner: str = "AWS"
    inputs: tuple[int, int] = (0, 5)
    outputs: tuple[int, int] = (0, 5)
    settings: Mapping[str, Setting] | None = None
    variables: tuple[str, ...] | None = ()


FREE = Setting()
NEEDED = Setting(required=True)
SWITCH = Setting(values=("true", "false"))
