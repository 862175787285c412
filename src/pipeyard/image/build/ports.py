"""EXPOSE: port numbers, ranges and protocols. Source: BuildKit, dockerfile2llb/convert_expose.go."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from pipeyard.errors import DockerfileError
from pipeyard.image.build.gotext import quoted


def exposed_ports(words: Iterable[str]) -> tuple[str, ...]:
    """`8000-8002/udp` gives `8000/udp`, `8001/udp`, `8002/udp`. Raises DockerfileError."""
    return tuple(port for word in words for port in _ports(word))


def _ports(word: str) -> list[str]:
    address, host, container = _split(word)
    port, _, protocol = container.partition("/")
    if not port:
        raise DockerfileError(f"invalid port: {quoted(word)}: no port specified")
    if protocol.lower() not in ("", "tcp", "udp", "sctp"):
        raise DockerfileError(f"invalid port: {quoted(word)}: invalid proto: {protocol}", hint="use tcp, udp or sctp")
    if address:
        try:
            ip_address(address.removeprefix("[").removesuffix("]"))
        except ValueError as error:
            raise DockerfileError(f"invalid IP address: {address}") from error
    first, last = _range(port, f"invalid containerPort: {port}")
    if host:
        host_first, host_last = _range(host, f"invalid hostPort: {host}")
        if last - first != host_last - host_first and first != last:
            raise DockerfileError(f"invalid ranges specified for container and host Ports: {port} and {host}")
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in range(first, last + 1)]


def _split(word: str) -> tuple[str, str, str]:
    parts = word.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _range(text: str, complaint: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    numbers = [start, end] if dash else [start, start]
    if any(not re.fullmatch(r"[+-]?[0-9]+", number) or not 0 <= int(number) <= 65535 for number in numbers):
        raise DockerfileError(complaint, hint="ports are 0 to 65535, a range is FIRST-LAST")
    first, last = (int(number) for number in numbers)
    if last < first:
        raise DockerfileError(complaint, hint="a range is FIRST-LAST")
    return first, last
