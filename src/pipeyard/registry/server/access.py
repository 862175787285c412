"""Who may do what: users with rights on repositories, anonymous callers when switched on, passwords minted elsewhere.

The decision never looks at what exists, so an answer cannot tell a stranger whether a repository is there.
"""

import hashlib
import hmac
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

from pipeyard.registry.wildcards import fits

Action = Literal["pull", "push", "delete"]
ACTIONS: tuple[Action, ...] = ("pull", "push", "delete")
Anonymous = Literal["", "pull", "push"]
"""What callers without credentials may do; `push` includes pull and delete."""


class Right(Struct, frozen=True):
    """`repositories`: a name with `*` for any characters, also slashes."""

    repositories: str
    actions: frozenset[Action]

    def covers(self, repository: str, action: Action) -> bool:
        return action in self.actions and fits(self.repositories, repository)


EVERYTHING = (Right("*", frozenset(ACTIONS)),)
_PULL = (Right("*", frozenset(("pull",))),)


class User(Struct, frozen=True, kw_only=True):
    name: str
    password: str
    rights: tuple[Right, ...] = EVERYTHING
    expires_ms: int = 0  # 0: never


class Caller(Struct, frozen=True, kw_only=True):
    """`name` is empty for the anonymous one."""

    name: str
    rights: tuple[Right, ...]

    def may(self, repository: str, action: Action) -> bool:
        return any(right.covers(repository, action) for right in self.rights)


Verify = Callable[[str, str], Caller | None]
"""Decides on a user and password that Access does not know, such as `AWS` with a minted token; compares in constant
time and gives None when they are wrong."""


class Access:
    """Safe for any number of threads.

    `secret` signs tokens (see tokens.py); the same one must be given to every process that serves a registry, and
    after a restart if the tokens of before shall stay good.
    """

    def __init__(
        self,
        *,
        users: Iterable[User] = (),
        anonymous: Anonymous = "",
        verify: Verify | None = None,
        secret: bytes,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._users: Mapping[str, User] = {user.name: user for user in users}
        self._verify = verify
        self._now_ms = now_ms
        self.secret = secret
        rights = {"": (), "pull": _PULL, "push": EVERYTHING}[anonymous]
        self.anonymous = Caller(name="", rights=rights)

    def known(self, name: str) -> User | None:
        """None also for one whose time is over."""
        user = self._users.get(name)
        return None if user is None or self._over(user) else user

    def has_expired(self, name: str) -> bool:
        user = self._users.get(name)
        return user is not None and self._over(user)

    def check_password(self, name: str, password: str) -> Caller | None:
        """None when they are wrong; takes as long for an unknown name as for a wrong password."""
        user = self._users.get(name)
        right = _same(password, user.password if user else self.secret.hex())
        if user is not None and right and not self._over(user):
            return Caller(name=user.name, rights=user.rights)
        return self._verify(name, password) if self._verify is not None else None

    def _over(self, user: User) -> bool:
        return 0 < user.expires_ms <= self._now_ms()

    def check_basic(self, encoded: str) -> Caller | None:
        """The credentials of a Basic authorization. Source: RFC 7617."""
        try:
            name, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (Base64Error, ValueError):
            return None
        return self.check_password(name, password) if colon else None


def _same(left: str, right: str) -> bool:
    # Of equal length after hashing: comparing the texts would tell their length.
    return hmac.compare_digest(hashlib.sha256(left.encode()).digest(), hashlib.sha256(right.encode()).digest())
