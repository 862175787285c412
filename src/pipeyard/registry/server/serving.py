"""Runs a registry on a socket until it is told to stop; what `pipeyard registry serve` and the tests call."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeyard.errors import InputError
from pipeyard.files import locked, replace_file
from pipeyard.registry.server.asgi import App
from pipeyard.registry.server.http_server import HttpServer, Limits

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one. Raises InputError when it is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --port") from error
    return listening


def serve(
    app: App,
    listening: socket.socket,
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    ready: Callable[[], None] = lambda: None,
    stop_signals: Iterable[signal.Signals] = (),
) -> None:
    """Blocks until one of the signals comes (main thread only), or for ever; ends requests that are under way."""

    async def main() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in stop_signals:
            loop.add_signal_handler(each, stopped.set)
        async with HttpServer(app, limits) as server:
            await server.listen(listening, tls)
            ready()
            await stopped.wait()

    asyncio.run(main())


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Raises InputError for files that are not a certificate and its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{certificate} and {key or certificate} are no certificate and key: {error}") from error
    return context


@contextlib.contextmanager
def repeated(work: Callable[[], object], every_s: float, what: str) -> Iterator[None]:
    """Does it at once and then again and again in a thread, until the block ends; a failure is logged."""
    ended = threading.Event()

    def loop() -> None:
        while True:
            try:
                work()
            except Exception:  # noqa: BLE001  (a thread's boundary: the next round may go well)
                _log.exception("%s failed", what)
            if ended.wait(every_s):
                return

    thread = threading.Thread(target=loop, name=what)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def kept_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
    """The text of a file that only its owner reads, made on first use; the same for all processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock")):
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            text = make()
            with replace_file(path, durable=True, mode=0o600) as out:
                os.fchmod(out.fileno(), 0o600)
                out.write(text.encode() + b"\n")
            return text
