"""Which variables a Dockerfile sees: the platform arguments, the global ARGs, and what a stage declares.

Source: Dockerfile reference, "ARG", "Scope" and "Automatic platform ARGs in the global scope".
"""

from collections.abc import Mapping

from pipeyard.image.dockerfile.expansion import expand_word
from pipeyard.image.dockerfile.instructions import Arg
from pipeyard.oci import Platform

PROXY_NAMES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def platform_arguments(build: Platform, target: Platform, stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """TARGETPLATFORM and its kin, overridden by build arguments of the same name."""
    values = {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
    return {name: given.get(name, value) for name, value in values.items()}


def global_scope(
    arguments: tuple[Arg, ...], given: Mapping[str, str], start: Mapping[str, str], escape: str
) -> dict[str, str]:
    """What FROM lines can refer to: `start`, and the ARGs before the first FROM."""
    scope = dict(start)
    for argument in arguments:
        for definition in argument.definitions:
            if definition.name in given:
                scope[definition.name] = given[definition.name]
            elif definition.default is not None:
                scope[definition.name] = expand_word(definition.default, scope, escape=escape).value
    return scope


def proxy_environment(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Proxy build arguments need no ARG: every RUN gets them, under both spellings. No cache key depends on them."""
    found: dict[str, str] = {}
    for name in sorted(given):
        if name.lower() in PROXY_NAMES:
            found[name.lower()] = given[name]
    return tuple((spelling, value) for name, value in found.items() for spelling in (name.upper(), name))
