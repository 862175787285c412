"""What other builders' options are here: docker build and buildx, buildah bud, kaniko.

Most options of `docker build` have their names. Of the rest, those that ask for nothing that could come out otherwise
are taken and told; all others are refused with what to write instead.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_WITHOUT_EFFECT = ("rm", "force-rm", "compress", "disable-content-trust", "debug", "layers", "skip-unused-stages")
_WITHOUT_EFFECT_VALUED = (
    "builder", "jobs", "isolation", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems",
    "cgroup-parent", "memory-swap", "logfile",
)  # fmt: skip
_OWN_REGISTRY = "write --insecure-registry HOST, for each host that speaks plain HTTP or has a certificate of its own"
_LOGIN = "log in with docker, podman or skopeo: their files and $REGISTRY_AUTH_FILE are read"
_CACHE = "steps are cached without being asked; write --cache-to REF --cache-from REF to share that in a registry"
_ALWAYS = "leave it out: it is always so"
_INSTEAD = {
    "squash": "layers are not merged afterwards; copy what they come to into a last stage: COPY --from=STAGE / /",
    "security-opt": "write --allow security.insecure for RUN --security=insecure; everything else stays in the sandbox",
    "gpus": "a RUN has no devices",
    "device": "a RUN has no devices",
    "policy": "policies of buildx are not known here",
    # buildah bud
    "format": "images are OCI's; every registry and runtime of today takes them",
    "tls-verify": _OWN_REGISTRY,
    "cert-dir": _OWN_REGISTRY,
    "creds": _LOGIN,
    "authfile": _LOGIN,
    "manifest": "write --platform A,B -t NAME: several platforms make an index",
    "all-platforms": "write the platforms: --platform linux/amd64,linux/arm64",
    "arch": "write --platform linux/ARCH",
    "os": "write --platform OS/ARCH",
    "variant": "write --platform OS/ARCH/VARIANT",
    "timestamp": "write --build-arg SOURCE_DATE_EPOCH=SECONDS",
    "source-date-epoch": "write --build-arg SOURCE_DATE_EPOCH=SECONDS",
    "rewrite-timestamp": _ALWAYS,
    "ignorefile": "name it after the Dockerfile: Dockerfile.dockerignore lies beside Dockerfile and goes first",
    "build-arg-file": "write --build-arg NAME=VALUE for each, or NAME alone for one of the environment",
    "volume": "write RUN --mount=type=bind in the Dockerfile, with --build-context NAME=FOLDER for other folders",
    "env": "write ENV in the Dockerfile, or --build-arg for an ARG",
    "from": "write --build-arg NAME=IMAGE with FROM ${NAME}, or --build-context BASE=docker-image://IMAGE",
    "cap-add": "a RUN has Docker's capabilities; --allow security.insecure gives all to RUN --security=insecure",
    "cap-drop": "a RUN has Docker's capabilities",
    "userns": "an ordinary user builds in a user namespace without being asked",
    # kaniko
    "context": "the context is an argument: pipeyard image build CONTEXT",
    "dockerfile": "write -f FILE",
    "destination": "write -t NAME --push",
    "no-push": "leave it out: nothing is pushed without --push",
    "tar-path": "write -o type=docker,dest=FILE",
    "tarPath": "write -o type=docker,dest=FILE",
    "oci-layout-path": "write -o type=oci,dest=FOLDER,tar=false",
    "digest-file": "the digest is on stdout; --iidfile FILE and --metadata-file FILE write it to a file",
    "image-name-with-digest-file": "--metadata-file FILE has name and digest",
    "cache": _CACHE,
    "cache-repo": _CACHE,
    "cache-dir": "the cache lies in $PIPEYARD_HOME",
    "context-sub-path": "write CONTEXT#REF:FOLDER for a git repository, or the folder itself",
    "custom-platform": "write --platform OS/ARCH",
    "insecure": _OWN_REGISTRY,
    "insecure-pull": _OWN_REGISTRY,
    "skip-tls-verify": _OWN_REGISTRY,
    "skip-tls-verify-pull": _OWN_REGISTRY,
    "skip-tls-verify-registry": _OWN_REGISTRY,
    "reproducible": _ALWAYS,
    "single-snapshot": "each instruction is a layer; put what belongs together into one RUN",
    "snapshot-mode": "leave it out: overlayfs knows what changed",
    "snapshotMode": "leave it out: overlayfs knows what changed",
    "use-new-run": _ALWAYS,
    "cleanup": _ALWAYS,
    "force": _ALWAYS,
    "verbosity": "write --progress plain, json or quiet",
}


def options_without_effect(command: Command) -> Command:
    """Hidden options that scripts for `docker build` and `buildah bud` have; each tells that it does nothing."""
    for name in _WITHOUT_EFFECT:
        shown = ("-D", f"--{name}") if name == "debug" else (f"--{name}",)
        command = click.option(*shown, is_flag=True, hidden=True, expose_value=False, callback=_told)(command)
    for name in _WITHOUT_EFFECT_VALUED:
        command = click.option(f"--{name}", hidden=True, expose_value=False, callback=_told)(command)
    return command


def _told(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        name = max(parameter.opts, key=len)
        click.echo(f"pipeyard: {name} has no effect here", err=True)


def explained(error: click.NoSuchOption) -> click.UsageError:
    """The same refusal, with what to write instead where that is known."""
    instead = _INSTEAD.get(error.option_name.lstrip("-"))
    if instead is None:
        return error
    return click.UsageError(f"{error.option_name} is not an option of pipeyard: {instead}", ctx=error.ctx)
