"""IP network functions."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network

from pipeyard.definition.terraform.functions.collections import whole
from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionFault,
    Parameter,
    Table,
    numeral,
    string,
)
from pipeyard.definition.terraform.values import NUMBER, STRING, ListType, Value, list_of, text

Network = IPv4Network | IPv6Network


def _network(prefix: Value) -> Network:
    address, slash, length = prefix.raw.rpartition("/")
    try:
        if not slash or not (length.isascii() and length.isdigit()):
            raise ValueError(length)
        if ":" not in address:  # leading zeros are decimal, as in early versions of Go
            address = ".".join(part.lstrip("0") or part[-1:] for part in address.split("."))
        return ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        raise FunctionFault(f"{prefix.raw!r} is no address with a prefix length") from None


def _host(prefix: Value, host: Value) -> Value:
    network = _network(prefix)
    number = whole(host, "the number of the host")
    size = network.num_addresses
    if not -size <= number < size:
        raise FunctionFault(f"a prefix of {network.prefixlen} bits has no room for host {number}")
    base = int(network.network_address)
    return text(str(type(network.network_address)(base + (number if number >= 0 else size + number))))


def _netmask(prefix: Value) -> Value:
    network = _network(prefix)
    if isinstance(network, IPv6Network):
        raise FunctionFault("an IPv6 network has no netmask")
    return text(str(network.netmask))


def _subnet(prefix: Value, bits: Value, number: Value) -> Value:
    network = _network(prefix)
    more, wanted = whole(bits, "the number of new bits", 0), whole(number, "the number of the network", 0)
    length = _longer(network, more)
    if wanted >= 1 << more:
        raise FunctionFault(f"{more} bits have no room for network {wanted}")
    base = int(network.network_address) + (wanted << (network.max_prefixlen - length))
    return text(f"{type(network.network_address)(base)}/{length}")


def _longer(network: Network, more: int) -> int:
    length = network.prefixlen + more
    if length > network.max_prefixlen:
        raise FunctionFault(f"{more} more bits make the prefix longer than {network.max_prefixlen}")
    return length


def _subnets(prefix: Value, *bits: Value) -> Value:
    network = _network(prefix)
    at = int(network.network_address)
    end = at + network.num_addresses
    found: list[Value] = []
    for given in bits:
        length = _longer(network, whole(given, "the number of new bits", 1))
        size = 1 << (network.max_prefixlen - length)
        at = (at + size - 1) // size * size
        if at + size > end:
            raise FunctionFault(f"{network} has no room for all of these networks")
        found.append(text(f"{type(network.network_address)(at)}/{length}"))
        at += size
    return list_of(found, STRING)


FUNCTIONS: Table = {
    "cidrhost": Function(_host, (string("prefix"), numeral("hostnum")), returns=STRING),
    "cidrnetmask": Function(_netmask, (string("prefix"),), returns=STRING),
    "cidrsubnet": Function(_subnet, (string("prefix"), numeral("newbits"), numeral("netnum")), returns=STRING),
    "cidrsubnets": Function(_subnets, (string("prefix"),), rest=Parameter("newbits", NUMBER), returns=ListType(STRING)),
}
