"""Instructions become a graph, and the graph an image: `build_image(request, parts) -> Built`.

The builder itself is imported when it is first used: who only stands on an image's folders needs none of it.
"""

from typing import TYPE_CHECKING

from pipeyard.image.build.request import (
    BuildParts,
    BuildRequest,
    Built,
    BuiltLayer,
    BuiltPlatform,
    ContextOrigin,
    Limits,
    Provenance,
    Publication,
    Secret,
    SshAgent,
)

if TYPE_CHECKING:
    from pipeyard.image.build.building import build_image

__all__ = [
    "BuildParts",
    "BuildRequest",
    "Built",
    "BuiltLayer",
    "BuiltPlatform",
    "ContextOrigin",
    "Limits",
    "Provenance",
    "Publication",
    "Secret",
    "SshAgent",
    "build_image",
]


def __getattr__(name: str) -> object:
    if name != "build_image":
        raise AttributeError(name)
    from pipeyard.image.build.building import build_image

    return build_image
