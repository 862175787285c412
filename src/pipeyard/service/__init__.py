"""The parts of pipeyard put together as the settings say, and the one Python API over them.

    yard = Pipeyard(settings, os.environ)
    outcome = yard.run(yard.prepare(Path("pipeline.yaml")))

Names are imported when they are first used: building an image needs one module of this room and no engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeyard.service.outcome import Outcome
    from pipeyard.service.preflight import ReadyRun, RunRequest
    from pipeyard.service.yard import Approval, Pipeyard

__all__ = ["Approval", "Outcome", "Pipeyard", "ReadyRun", "RunRequest"]

_HOMES = {"Outcome": "outcome", "ReadyRun": "preflight", "RunRequest": "preflight"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"pipeyard.service.{_HOMES.get(name, 'yard')}"), name)
