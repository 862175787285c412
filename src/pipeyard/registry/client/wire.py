"""The network: connections that stay open between requests, TLS and proxies."""

import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from pipeyard.registry.client.connection import TICK_S, Connection, HungUp, Target, target_of
from pipeyard.registry.client.http11 import MAX_HEAD, BodyReader, Head, body_length, parse_head, request_head
from pipeyard.registry.client.messages import Body, ConnectionFailed, Request, Response
from pipeyard.threads import NEVER

if TYPE_CHECKING:
    import ssl

_MOST_INTERIM = 20  # heads of status 1xx before an answer
_MAX_IDLE = 16  # connections of one server kept for later


class Network(Struct, frozen=True, kw_only=True):
    """How servers are reached. Hosts are HOST[:PORT]; proxies are keyed by scheme, `no_proxy` as in the environment."""

    ca_file: str = ""  # PEM, in place of the system's
    ca_files: Mapping[str, str] = {}  # PEM for one host, beside the system's
    unverified: frozenset[str] = frozenset()  # hosts whose certificate is not checked
    proxies: Mapping[str, str] = {}
    no_proxy: str = ""
    user_agent: str = "pipeyard"
    connect_timeout_s: float = 15.0
    silence_timeout_s: float = 60.0  # without one byte in either direction


class Wire:
    """The Transport that touches the network. Redirects, refusals and retries are for those around it.

    Thread-safe; several requests to one server use several connections. `close` hangs up those at rest.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()  # guards _idle and _contexts
        self._idle: dict[Target, list[Connection]] = {}
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def __call__(self, request: Request) -> Response:
        target, path = target_of(request.url)
        while True:
            request.stop.check()
            connection = self._take(target) or self._connect(target)
            connection.stop = request.stop
            try:
                return self._exchange(connection, request, path)
            except ConnectionFailed as failure:
                connection.close()
                # A server may hang up on a resting connection at the very moment in which we use it again.
                if connection.used and failure.kind == "broken" and request.repeatable:
                    continue
                raise
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            resting = [connection for pool in self._idle.values() for connection in pool]
            self._idle.clear()
        for connection in resting:
            connection.close()

    def _exchange(self, connection: Connection, request: Request, path: str) -> Response:
        body = request.body
        size = body.size if isinstance(body, Body) else len(body) if body is not None else None
        if size is None and request.method in ("POST", "PUT", "PATCH"):
            size = 0
        headers = {"User-Agent": self._network.user_agent, "Accept-Encoding": "identity", **request.headers}
        if connection.absolute and (login := self._proxy_login(connection.target)):
            headers["Proxy-Authorization"] = login
        where = request.url.partition("#")[0] if connection.absolute else path
        head = request_head(request.method, where, connection.target.netloc, headers, size)
        whole = True
        try:
            connection.send(head + body if isinstance(body, bytes) else head)
            if isinstance(body, Body):
                whole = connection.send_body(body)
        except HungUp:
            if not isinstance(body, Body):
                raise
            whole = False  # it may have answered before it hung up
        answer = _final_head(connection)
        reader = BodyReader(connection.incoming, body_length(request.method, answer))

        def finish() -> None:
            left = reader.left
            try:
                while whole and not reader.ended and left is not None and left <= 64 * 1024 and reader.read(left):
                    left = reader.left
            except ConnectionFailed:
                pass
            if whole and reader.ended and answer.keep_alive:
                self._give_back(connection)
            else:
                connection.close()

        return Response(
            answer.status,
            answer.headers,
            reader,
            url=request.url,
            on_close=finish,
        )

    def _take(self, target: Target) -> Connection | None:
        while True:
            with self._lock:
                pool = self._idle.get(target)
                if not pool:
                    return None
                connection = pool.pop()
            if not connection.is_stale(time.monotonic()):
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        connection.used = True
        connection.stop = NEVER
        connection.idle_since = time.monotonic()
        with self._lock:
            pool = self._idle.setdefault(connection.target, [])
            if len(pool) < _MAX_IDLE:
                pool.append(connection)
                return
        connection.close()

    def _connect(self, target: Target) -> Connection:
        proxy = self._proxy(target)
        first = target_of(proxy)[0] if proxy else target
        if proxy and first.scheme != "http":
            raise ConnectionFailed(f"the proxy {first.netloc} is not spoken to by plain HTTP", "protocol")
        sock = self._dial(first)
        absolute = bool(proxy) and target.scheme == "http"
        try:
            connection = Connection(sock, target, self._network.silence_timeout_s, absolute)
            if target.scheme == "https":
                if proxy:
                    self._tunnel(connection)
                connection.sock = self._encrypt(sock, target)
        except BaseException:
            sock.close()
            raise
        connection.sock.settimeout(min(TICK_S, self._network.silence_timeout_s))
        return connection

    def _dial(self, target: Target) -> socket.socket:
        try:
            # As bytes, a name of ASCII is not encoded again, by a codec that takes 1 ms to import.
            host: Any = target.host.encode() if target.host.isascii() else target.host
            sock = socket.create_connection((host, target.port), self._network.connect_timeout_s)
        except socket.gaierror as error:
            raise ConnectionFailed(
                f"there is no host {target.host}: {error.strerror}", "name", hint="check the name and the network"
            ) from error
        except TimeoutError as error:
            raise ConnectionFailed(f"{target.netloc} did not answer", "timeout") from error
        except OSError as error:
            raise ConnectionFailed(
                f"cannot connect to {target.netloc}: {error.strerror or error}",
                "refused",
                hint="is the registry running?",
            ) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _tunnel(self, connection: Connection) -> None:
        target = connection.target
        login = self._proxy_login(target)
        headers = {"Proxy-Authorization": login} if login else {}
        where = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
        connection.send(request_head("CONNECT", where, where, headers, None))
        answer = parse_head(connection.incoming.until(b"\r\n\r\n", MAX_HEAD))
        if answer.status != 200:
            raise ConnectionFailed(f"the proxy refused to connect to {target.netloc}: {answer.status}", "refused")

    def _encrypt(self, sock: socket.socket, target: Target) -> "ssl.SSLSocket":
        import ssl

        unverified = target.netloc in self._network.unverified
        extra = self._network.ca_files.get(target.netloc, "")
        with self._lock:
            context = self._contexts.get((extra, unverified))
            if context is None:
                context = self._contexts[(extra, unverified)] = self._context(extra, unverified)
        try:
            return context.wrap_socket(sock, server_hostname=target.host)
        except ssl.SSLCertVerificationError as error:
            raise ConnectionFailed(
                f"the certificate of {target.netloc} is not to be trusted: {error.verify_message}",
                "certificate",
                hint=f"give its authority's file as the registry's ca_file, or use --insecure-registry {target.netloc}",
            ) from error
        except ssl.SSLError as error:
            raise ConnectionFailed(
                f"{target.netloc} does not speak TLS: {error.reason or error}",
                "tls",
                hint=f"if it speaks plain HTTP, use --insecure-registry {target.netloc}",
            ) from error
        except OSError as error:
            raise ConnectionFailed(f"{target.netloc} hung up at the TLS greeting: {error}", "broken") from error

    def _context(self, extra: str, unverified: bool) -> "ssl.SSLContext":
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._network.ca_file or None)
            if extra:
                context.load_verify_locations(cafile=extra)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionFailed(
                f"cannot read the certificates of {extra or self._network.ca_file}: {error}", "certificate"
            ) from error
        if unverified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _proxy(self, target: Target) -> str:
        proxy = self._network.proxies.get(target.scheme, "")
        if not proxy or is_loopback(target.host) or _is_exempt(target, self._network.no_proxy):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _proxy_login(self, target: Target) -> str:
        from base64 import b64encode

        parts = urlsplit(self._proxy(target))
        if not parts.username:
            return ""
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return "Basic " + b64encode(login.encode()).decode()


def _final_head(connection: Connection) -> Head:
    """The head of the answer, after those that only say that it will come."""
    for _ in range(_MOST_INTERIM):
        answer = parse_head(connection.incoming.until(b"\r\n\r\n", MAX_HEAD))
        if answer.status >= 200:
            return answer
        if answer.status == 101:
            raise ConnectionFailed(f"{connection.target.netloc} wants to speak another protocol", "protocol")
    raise ConnectionFailed(f"{connection.target.netloc} announces an answer again and again", "protocol")


def is_loopback(host: str) -> bool:
    """Whether a name (without port) can only be this machine."""
    return host in ("localhost", "::1") or host.endswith(".localhost") or _is_127(host)


def _is_127(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdigit() for part in parts)


def _is_exempt(target: Target, no_proxy: str) -> bool:
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        name = entry.removeprefix("*").lstrip(".")
        if entry == "*" or entry == target.netloc.lower():
            return True
        if name and (target.host.lower() == name or target.host.lower().endswith(f".{name}")):
            return True
    return False
