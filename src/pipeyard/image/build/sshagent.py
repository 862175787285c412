"""An ssh agent for one RUN: keys that we hold ourselves, or somebody's agent, of which a RUN sees keys and signatures.

Sources: draft-ietf-sshm-ssh-agent (messages); RFC 8332 (RSA with SHA-2); RFC 5656 (ECDSA); RFC 8709 (Ed25519);
BuildKit, session/sshforward/sshprovider/agentprovider.go: what may be given, and what is refused to a RUN.
"""

import base64
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.image.build.request import SshAgent

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_FAILURE = b"\x05"
_LIST, _KEYS, _SIGN, _SIGNATURE = 11, 12, 13, 14
_SHA256, _SHA512 = 2, 4  # flags of a signature by an RSA key
_MAX_MESSAGE = 256 << 10  # OpenSSH's
_MAX_KEY_FILE = 100 << 10
_AT_ONCE = 32  # connections; more of them wait
_KEY_FILES = "an unencrypted private key, as ssh-keygen writes them"


class Key(Struct, frozen=True):
    """`public` and signatures are the wire's blobs."""

    public: bytes
    sign: Callable[[bytes, int], bytes]


def load_keys(agent: SshAgent) -> tuple[Key, ...]:
    """The keys of its files; none for a socket. Raises InputError for files that are neither."""
    sockets = [path for path in agent.paths if path.is_socket()]
    if sockets and len(agent.paths) > 1:
        raise InputError("one socket of an agent, or files of keys: not several sockets, and not both")
    if agent.raw and not sockets:
        raise InputError("raw=true is for the socket of an agent alone", hint="write ID=SOCKET,raw=true")
    return tuple(_load(path) for path in agent.paths if not sockets)


@contextmanager
def serving(agent: SshAgent, folder: Path, *, uid: int, gid: int, mode: int) -> Iterator[Path]:
    """A socket in a new folder below `folder` that answers for the block, from threads that end with it.

    A RUN may ask for the keys and for signatures; to add, remove or lock keys, and extensions, are refused.
    """
    keys = load_keys(agent)
    with tempfile.TemporaryDirectory(prefix="ssh-", dir=folder) as name:
        path = Path(name, "agent")
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
            inside = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:  # a socket's address is short, a folder's path is not
                listener.bind(f"/proc/self/fd/{inside}/agent")
            finally:
                os.close(inside)
            if os.geteuid() == 0:
                with suppress(OSError):  # the one id of a namespace is everybody's
                    os.chown(path, uid, gid)
            os.chmod(path, mode & 0o777)
            listener.listen(_AT_ONCE)
            server = _Server(listener, None if keys else agent, keys)
            thread = threading.Thread(target=server.accept, name="ssh-agent", daemon=True)
            thread.start()
            try:
                yield path
            finally:
                server.close()
                thread.join()


class _Server:
    def __init__(self, listener: socket.socket, upstream: SshAgent | None, keys: Sequence[Key]) -> None:
        self._listener = listener
        self._upstream = upstream
        self._keys = keys
        self._lock = threading.Lock()  # guards _open and _closed
        self._open: set[socket.socket] = set()
        self._closed = False
        self._room = threading.Semaphore(_AT_ONCE)
        self._threads: list[threading.Thread] = []

    def accept(self) -> None:
        while True:
            self._room.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                break
            if not self._keep(client):
                break
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=self._serve, args=(client,), name="ssh-client", daemon=True))
            self._threads[-1].start()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            sockets = [self._listener, *self._open]
        for one in sockets:  # wakes whoever waits for it; who made it closes it
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._room.release()

    def _keep(self, one: socket.socket) -> bool:
        with self._lock:
            if self._closed:
                one.close()
                return False
            self._open.add(one)
            return True

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                if self._upstream is None:
                    _converse(client, self._answer)
                    return
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                    agent.connect(os.fspath(self._upstream.paths[0]))
                    if not self._keep(agent):
                        return
                    try:
                        if self._upstream.raw:
                            _relay(client, agent)
                        else:
                            _converse(client, lambda message: _asked(agent, message))
                    finally:
                        with self._lock:
                            self._open.discard(agent)
        except (OSError, ValueError):
            pass  # it hung up, or does not speak the protocol: its connection is closed
        finally:
            with self._lock:
                self._open.discard(client)
            self._room.release()

    def _answer(self, message: bytes) -> bytes:
        if message[0] == _LIST:
            # Without comments: they would tell a RUN where the files lie.
            listed = b"".join(_string(key.public) + _string(b"") for key in self._keys)
            return bytes([_KEYS]) + struct.pack(">I", len(self._keys)) + listed
        wanted, rest = _cut(message[1:])
        data, rest = _cut(rest)
        (flags,) = struct.unpack(">I", rest[:4].rjust(4, b"\0"))
        for key in self._keys:
            if key.public == wanted:
                return bytes([_SIGNATURE]) + _string(key.sign(data, flags))
        return _FAILURE


def _converse(client: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    while message := _received(client):
        reply = answer(message) if message[0] in (_LIST, _SIGN) else _FAILURE
        client.sendall(_string(reply))


def _asked(agent: socket.socket, message: bytes) -> bytes:
    agent.sendall(_string(message))
    return _received(agent) or _FAILURE


def _received(one: socket.socket) -> bytes:
    """The next message; nothing when there is none. Raises ValueError for one that is too long, or cut."""
    head = _exactly(one, 4)
    if not head:
        return b""
    (size,) = struct.unpack(">I", head)
    if not 0 < size <= _MAX_MESSAGE:
        raise ValueError(f"a message of {size} bytes")
    message = _exactly(one, size)
    if not message:
        raise ValueError("a message without its end")
    return message


def _exactly(one: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        data = one.recv(min(size, 1 << 16))
        if not data:
            return b""
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _relay(client: socket.socket, agent: socket.socket) -> None:
    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(agent, client), name="ssh-relay", daemon=True)
    back.start()
    copy(client, agent)
    back.join()


# ---------------------------------------------------------------- keys


def _load(path: Path) -> Key:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="name a key's file or an agent's socket"
        ) from error
    read = serialization.load_pem_private_key
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        read = serialization.load_ssh_private_key
    try:
        return _key(read(data, None))
    except TypeError as error:  # cryptography's word for a missing passphrase
        raise InputError(
            f"{path} is protected by a passphrase",
            hint=f"give it to an agent (eval $(ssh-agent); ssh-add {path}), and that agent with --ssh ID",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is no private key that can be used here", hint=f"give {_KEY_FILES}") from error


def _key(private: "PrivateKeyTypes") -> Key:
    """Raises ValueError for a kind of key that ssh does not know."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

    if isinstance(private, rsa.RSAPrivateKey):
        known = private

        def by_rsa(data: bytes, flags: int) -> bytes:
            digest: hashes.HashAlgorithm
            if flags & _SHA512:
                name, digest = b"rsa-sha2-512", hashes.SHA512()
            elif flags & _SHA256:
                name, digest = b"rsa-sha2-256", hashes.SHA256()
            else:
                name, digest = b"ssh-rsa", hashes.SHA1()  # noqa: S303 -- what the protocol means by no flag
            return _string(name) + _string(known.sign(data, padding.PKCS1v15(), digest))

        sign = by_rsa
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        edwards = private

        def by_ed25519(data: bytes, flags: int) -> bytes:
            return _string(b"ssh-ed25519") + _string(edwards.sign(data))

        sign = by_ed25519
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        curve = private
        sizes = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        if curve.key_size not in sizes:
            raise ValueError(f"a curve of {curve.key_size} bits")

        def by_ecdsa(data: bytes, flags: int) -> bytes:
            made = curve.sign(data, ec.ECDSA(sizes[curve.key_size]))
            numbers = b"".join(_string(_mpint(number)) for number in utils.decode_dss_signature(made))
            return _string(f"ecdsa-sha2-nistp{curve.key_size}".encode()) + _string(numbers)

        sign = by_ecdsa
    else:
        raise ValueError(f"a key of the kind {type(private).__name__}")
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return Key(base64.b64decode(public.split()[1]), sign)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """A string and what follows. Raises ValueError where it ends too early."""
    if len(data) < 4:
        raise ValueError("no length")
    (size,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + size:
        raise ValueError("a string without its end")
    return data[4 : 4 + size], data[4 + size :]
