"""The intrinsic functions that only compute: text in, text out.

Source: CloudFormation Template Reference, "Intrinsic functions".
"""

import ipaddress
import re

from pipeyard.errors import InputError

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")


def sub_parts(text: str) -> list[tuple[str, str]]:
    """A text of Fn::Sub in order: ("text", literal), ("name", what stands in `${...}`). `${!x}` is literally `${x}`."""
    parts: list[tuple[str, str]] = []
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > at:
            parts.append(("text", text[at : found.start()]))
        inside = found[1]
        parts.append(("text", f"${{{inside[1:]}}}") if inside.startswith("!") else ("name", inside.strip()))
        at = found.end()
    if at < len(text):
        parts.append(("text", text[at:]))
    return parts


MAX_CIDR_BLOCKS = 256


def cidr(block: str, count: str, bits: str) -> list[str]:
    """Fn::Cidr: the first `count` (1 to 256) subnets with `bits` host bits. Raises InputError when they do not fit."""
    try:
        network = ipaddress.ip_network(block, strict=False)
        wanted, host_bits = int(count), int(bits) if bits else 0
    except ValueError as error:
        raise InputError(f"Fn::Cidr: {error}") from error
    if not host_bits:
        raise InputError("Fn::Cidr needs the number of host bits of each block")
    prefix = network.max_prefixlen - host_bits
    if not 1 <= wanted <= MAX_CIDR_BLOCKS:
        raise InputError(f"Fn::Cidr makes 1 to {MAX_CIDR_BLOCKS} blocks, not {wanted}")
    if prefix < network.prefixlen or host_bits < 1 or wanted > 2 ** (prefix - network.prefixlen):
        raise InputError(f"Fn::Cidr: {block} does not hold {wanted} blocks of {host_bits} host bits")
    first = int(network.network_address)
    kind = type(network)
    return [str(kind((first + (number << host_bits), prefix))) for number in range(wanted)]
