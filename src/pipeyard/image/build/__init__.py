"""Instructions become a graph, and the graph an image: `build_image(request, parts) -> Built`."""

from pipeyard.image.build.building import build_image
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
