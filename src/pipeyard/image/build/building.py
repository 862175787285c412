"""From a request to a published image: plan, evaluate, assemble the documents, publish."""

from pipeyard.image.build.request import BuildParts, BuildRequest, Built


def build_image(request: BuildRequest, parts: BuildParts) -> Built:
    """Builds the image of every requested platform and publishes it; nothing is published unless all of it worked.

    Raises DockerfileError for a wrong Dockerfile, BuildFailed for an instruction that failed (both placed), InputError
    for a request that cannot be met, RegistryError from origin and destinations, Stopped when `parts.stop` was asked
    for. Safe to call from several threads and processes over the same cache and store.
    """
    raise NotImplementedError
