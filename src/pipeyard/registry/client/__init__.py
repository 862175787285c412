"""The client of all other registries: pull, push, copy, over anything that can be a Transport."""

from pipeyard.registry.client.access import Access, Registries, access_from, open_registries
from pipeyard.registry.client.destination import RemoteDestination
from pipeyard.registry.client.messages import Body, ConnectionFailed, Request, Response, Transport
from pipeyard.registry.client.origin import RemoteOrigin
from pipeyard.registry.client.repository import Repository

__all__ = [
    "Access",
    "Body",
    "ConnectionFailed",
    "Registries",
    "RemoteDestination",
    "RemoteOrigin",
    "Repository",
    "Request",
    "Response",
    "Transport",
    "access_from",
    "open_registries",
]
