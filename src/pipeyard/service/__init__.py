"""The parts of pipeyard put together as the settings say, and the one Python API over them.

yard = Pipeyard(settings, os.environ)
outcome = yard.run(yard.prepare(Path("pipeline.yaml")))
"""

from pipeyard.service.outcome import Outcome
from pipeyard.service.preflight import ReadyRun, RunRequest
from pipeyard.service.yard import Approval, Pipeyard

__all__ = ["Approval", "Outcome", "Pipeyard", "ReadyRun", "RunRequest"]
