"""A published image's own entry point, started in the sandbox that RUN uses, on layers unpacked for the occasion."""

from pathlib import Path

from pipeyard.errors import InputError
from pipeyard.image.build.owners import process_identity
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.layers import extract
from pipeyard.image.sandbox import DEFAULT_PATH, NO_LIMITS, Command, Exit, Output, Root, open_sandbox
from pipeyard.oci.platforms import native
from pipeyard.registry.reference import Reference
from pipeyard.service.images import Images
from pipeyard.threads import Stop


def run_image(
    images: Images, reference: Reference, scratch: Path, environment: dict[str, str], output: Output, stop: Stop
) -> Exit:
    """Runs ENTRYPOINT and CMD with the image's user, folder and environment until it ends or a stop is asked for.

    `scratch` is an empty folder for the unpacked layers, removed by the caller. The network is this machine's.
    Raises InputError when the image has nothing to run, SandboxError, and Stopped after a stop.
    """
    origin = images.origin(stop)
    image = origin.resolve(reference, native())
    config = image.config.config
    arguments = (*((config and config.entrypoint) or ()), *((config and config.cmd) or ()))
    if config is None or not arguments:
        raise InputError(f"{reference} has neither ENTRYPOINT nor CMD", hint="add one to its Dockerfile")
    lowers: list[Path] = []
    for number, layer in enumerate(image.manifest.layers):
        folder = scratch / f"layer-{number}"
        folder.mkdir()
        with origin.read(image, layer) as stream:
            extract(stream, folder, lowers=tuple(lowers), expected=image.config.rootfs.diff_ids[number], stop=stop)
        lowers.append(folder)
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir()
    work.mkdir()
    who = process_identity(config.user, StackTree(lowers))
    told = dict(entry.partition("=")[::2] for entry in config.env or ())
    command = Command(
        arguments=arguments,
        environment={"PATH": DEFAULT_PATH, "HOME": who.home, **told, **environment},
        folder=config.working_dir or "/",
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
    )
    return open_sandbox(scratch / "sandbox").run(
        command,
        Root(lowers=tuple(lowers), upper=upper, work=work),
        mounts=(),
        limits=NO_LIMITS,
        output=output,
        stop=stop,
    )
