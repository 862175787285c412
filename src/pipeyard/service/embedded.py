"""The embedded registry as the settings choose it: its store, and who may do what in it."""

from typing import TYPE_CHECKING

from pipeyard.files import private_folder
from pipeyard.registry.store import ContentStore
from pipeyard.settings import Settings

if TYPE_CHECKING:
    from pipeyard.registry.server.access import User


def open_content_store(settings: Settings) -> ContentStore:
    """The content store of this home; to be closed by the caller."""
    private_folder(settings.home)
    objects = None
    if settings.registry_storage:
        from pipeyard.service.s3 import open_objects

        objects = open_objects(settings.registry_storage)
    return ContentStore(settings.home / "registry", objects=objects)


def users_from(settings: Settings) -> "tuple[User, ...]":
    """The registry's users as `[users]` declares them."""
    from pipeyard.registry.server.access import EVERYTHING, Right, User

    return tuple(
        User(
            name=name,
            password=user.password,
            rights=tuple(Right(pattern, frozenset(actions)) for pattern, actions in user.rights.items()) or EVERYTHING,
            expires_ms=int(user.expires.timestamp() * 1000) if user.expires else 0,
        )
        for name, user in settings.users.items()
    )
