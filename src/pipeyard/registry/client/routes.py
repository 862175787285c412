"""Where a request goes: hosts that speak plain HTTP, mirrors that are asked first, redirects that are followed."""

import time
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from msgspec import structs

from pipeyard.errors import RegistryError
from pipeyard.registry.client.messages import ConnectionFailed, Request, Response, Transport, host_of
from pipeyard.registry.client.wire import is_loopback

MAX_REDIRECTS = 10
_PROBE = 4096  # bytes read of an answer that may say "this is an HTTPS server"
_MIRROR_REST_S = 60.0  # an unreachable mirror is left alone for so long


def api_host(host: str) -> str:
    """The server that speaks for a registry: Docker Hub's is not the one that its references name."""
    return "registry-1.docker.io" if host == "docker.io" else host


def plain(send: Transport, insecure: frozenset[str]) -> Transport:
    """Speaks HTTP to insecure hosts and to this machine, whatever scheme the URL has.

    One that turns out to want TLS is spoken to by TLS from then on, as Docker does it the other way round. Whether
    its certificate is checked is the wire's business.
    """
    tls: set[str] = set()  # what each host speaks, once it is known; a set's add is atomic
    http: set[str] = set()

    def send_plainly(request: Request) -> Response:
        host = host_of(request.url)
        if not (host in insecure or is_loopback(urlsplit(request.url).hostname or "")):
            return send(request)
        rest = request.url.partition("://")[2]
        if host in tls:
            return send(structs.replace(request, url=f"https://{rest}"))
        try:
            response = send(structs.replace(request, url=f"http://{rest}"))
        except ConnectionFailed as failure:
            if host in http or failure.kind not in ("protocol", "broken") or not request.repeatable:
                raise
            try:
                response = send(structs.replace(request, url=f"https://{rest}"))
            except ConnectionFailed:
                raise failure from None
            tls.add(host)
            return response
        if host in http or response.status != 400 or "docker-distribution-api-version" in response.headers:
            http.add(host)
            return response
        text = response.read(_PROBE)
        if b"HTTPS" not in text:
            response.close()
            return Response(response.status, response.headers, text, url=response.url)
        response.close()
        tls.add(host)
        return send(structs.replace(request, url=f"https://{rest}"))

    return send_plainly


def addressed(send: Transport, addresses: Mapping[str, str]) -> Transport:
    """Sends what is for a host to the base URL where it really is; above this, everything has the host's own name."""
    if not addresses:
        return send

    def send_there(request: Request) -> Response:
        host = host_of(request.url)
        address = addresses.get(host, "").rstrip("/")
        if not address:
            return send(request)
        response = send(structs.replace(request, url=address + request.url.partition("://")[2].removeprefix(host)))
        # What the answer's places are relative to; the scheme tells whether the way was safe.
        response.url = f"{address.partition('://')[0]}://{request.url.partition('://')[2]}"
        return response

    return send_there


def redirected(send: Transport) -> Transport:
    """Follows redirects of GET and HEAD. Beyond the first server nothing that could identify the user goes along."""

    def send_following(request: Request) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            response = send(request)
            if response.status not in (301, 302, 303, 307, 308) or request.method not in ("GET", "HEAD"):
                return response
            place = response.headers.get("location", "")
            response.close()
            url = urljoin(response.url or request.url, place)
            if not place or not url.startswith(("http://", "https://")):
                raise RegistryError(f"{host_of(request.url)} redirects to {place[:200]!r}", status=response.status)
            if _origin(url) != _origin(response.url or request.url):
                if (response.url or request.url).startswith("https://") and url.startswith("http://"):
                    raise RegistryError(
                        f"{host_of(request.url)} redirects from HTTPS to plain HTTP at {host_of(url)}",
                        status=response.status,
                    )
                kept = {name: value for name, value in request.headers.items() if name.lower() in ("range", "accept")}
                request = structs.replace(request, headers=kept, registry="", scopes=())
            request = structs.replace(request, url=url)
        raise RegistryError(f"{host_of(request.url)} redirects in a circle")

    return send_following


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def mirrored(
    send: Transport, mirrors: Mapping[str, str], *, monotonic_s: Callable[[], float] = time.monotonic
) -> Transport:
    """Asks the mirror of a registry first, for what any mirror may answer; the registry itself if that fails.

    `mirrors` maps a host as written in references to a base URL. `http://mirror:5000` and `http://mirror:5000/hub` put
    the API's `/v2/` behind themselves; `https://harbor.example.com/v2/hub` says where it goes.
    """
    if not mirrors:
        return send
    resting: dict[str, float] = {}  # mirror -> when to ask again; single assignments only

    def send_to_mirror_first(request: Request) -> Response:
        mirror = mirrors.get(request.registry, "")
        if not request.any_mirror or not mirror or resting.get(mirror, 0.0) > monotonic_s():
            return send(request)
        try:
            response = send(_at_mirror(request, mirror))
            if response.ok:
                return response
            response.close()
            answer = f"answered {response.status}"
        except ConnectionFailed as failure:
            resting[mirror] = monotonic_s() + _MIRROR_REST_S
            answer = f"failed ({failure.message})"
        except RegistryError as failure:
            answer = f"failed ({failure.message})"
        try:
            return send(request)
        except ConnectionFailed as failure:
            failure.hint = f"the mirror {mirror} was asked first and {answer}"
            raise

    return send_to_mirror_first


def _at_mirror(request: Request, mirror: str) -> Request:
    base = mirror.rstrip("/") if "://" in mirror else f"https://{mirror.rstrip('/')}"
    parts = urlsplit(base)
    rest = request.url.partition("://")[2].partition("/v2/")[2]
    scopes = request.scopes
    if parts.path == "/v2" or parts.path.startswith("/v2/"):
        prefix = parts.path.removeprefix("/v2").strip("/")
        if prefix:
            rest = f"{prefix}/{rest}"
            scopes = tuple(scope.replace("repository:", f"repository:{prefix}/", 1) for scope in scopes)
        base = f"{parts.scheme}://{parts.netloc}"
    return structs.replace(request, url=f"{base}/v2/{rest}", registry=parts.netloc, scopes=scopes, any_mirror=False)
