"""The registry as an ASGI application: routes, authorization, and errors as answers.

Plain ASGI: of 1 KB manifests, a framework's routing and response objects were a third of the time of a request.
"""

import asyncio
import errno
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.database import full_disk
from pipeyard.registry.reference import is_repository_name, is_tag
from pipeyard.registry.server.access import Access, Action, Caller
from pipeyard.registry.server.answers import (
    Answer,
    Refusal,
    Request,
    as_refusal,
    error_answer,
    json_answer,
    read_digest,
    send_answer,
)
from pipeyard.registry.server.asgi import App, Message, Receive, Send
from pipeyard.registry.server.content import Content
from pipeyard.registry.server.gate import Gate
from pipeyard.registry.server.proxying import Proxy, Upstream
from pipeyard.registry.server.uploading import Uploading
from pipeyard.registry.store import ContentStore
from pipeyard.registry.uploads import Uploads

_log = logging.getLogger(__name__)

_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")
_CONTENT = re.compile(r"/v2/(.+)/(manifests|blobs|referrers)/([^/]+)")
_TAGS = re.compile(r"/v2/(.+)/tags/list")
_API = (b"docker-distribution-api-version", b"registry/2.0")

Creation = Literal["push", "explicit"]


def registry_app(
    store: ContentStore,
    access: Access,
    *,
    create: Creation = "push",
    sparse: bool = True,
    realm: str = "",
    upstreams: Mapping[str, Upstream] | None = None,
    redirect: bool = True,
) -> App:
    """The registry over `store`. `create`: a push makes its repository, or repositories are made by other means.

    `sparse`: a manifest may be pushed before, or without, what it refers to; the answer warns. Otherwise that is
    MANIFEST_BLOB_UNKNOWN. `realm`: URL of the token endpoint as clients reach it; empty: of the Host they ask for.
    `upstreams`: registries that are pulled through, by host; see proxying.py. `redirect`: of blobs that only an
    object store has clients learn the address; otherwise they go through here.
    """
    proxy = Proxy(store, upstreams or {})
    gate = Gate(access, store.now_ms, realm)
    return _Registry(store, gate, proxy, create=create, sparse=sparse, redirect=redirect)


class _Registry:
    def __init__(
        self, store: ContentStore, gate: Gate, proxy: Proxy, *, create: Creation, sparse: bool, redirect: bool
    ) -> None:
        self._store = store
        self._create = create
        self._gate = gate
        self._proxy = proxy
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="registry")
        self._streams = ThreadPoolExecutor(32, thread_name_prefix="stream")  # each waits for somebody's network
        self._content = Content(store, self._threads, sparse=sparse, redirect=redirect)
        self._uploading = Uploading(store, Uploads(store.files), self._threads)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await _live(receive, send)
            return
        request = Request(scope, receive)
        try:
            await self._send(await self._answer(request), request, send)
            return
        except Refusal as refusal:
            answer = error_answer(refusal)
        except (RegistryError, InputError) as error:
            if isinstance(error, RegistryError) and not error.code:
                _log.error("%s %s: %s", request.method, request.path, error)
            answer = error_answer(as_refusal(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            _log.error("%s %s: %s", request.method, request.path, error.strerror)
            answer = error_answer(as_refusal(full_disk()))
        await self._send(answer, request, send)

    async def _send(self, answer: Answer, request: Request, send: Send) -> None:
        """Raises Refusal and RegistryError only while nothing was sent."""
        await send_answer(answer, request, send, self._in_stream)

    async def _in_stream(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._streams, work, *arguments)

    async def _answer(self, request: Request) -> Answer:
        path, method = request.path, request.method
        if content := _CONTENT.fullmatch(path):
            name, kind, key = content.groups()
            name = self._proxy.local_name(name, request.value("ns"))
            if kind == "blobs" and key == "uploads":
                return await self._upload(request, name, "")
            return await self._named(request, name, kind, key)
        if upload := _UPLOAD.fullmatch(path):
            return await self._upload(request, upload[1], upload[2])
        if tags := _TAGS.fullmatch(path):
            self._allow(request, tags[1], "pull")
            _only(method, "GET", "HEAD")
            return self._content.tags(request, tags[1])
        if path in ("/v2/", "/v2"):
            _only(method, "GET", "HEAD")
            self._gate.knock(request)
            return json_answer(200, {}, _API)
        if path == "/v2/_catalog":
            _only(method, "GET", "HEAD")
            return self._content.catalog(request, self._gate.catalog(request))
        if path == "/token":
            return await self._gate.token(request)
        raise Refusal(404, "UNSUPPORTED", "there is no such endpoint")

    async def _named(self, request: Request, name: str, kind: str, key: str) -> Answer:
        method = request.method
        if kind == "manifests":
            if method in ("GET", "HEAD"):
                self._allow(request, name, "pull")
                if ":" in key:
                    read_digest(key)
                if ":" in key or is_tag(key):  # upstream is not asked for what nobody can have
                    await self._proxy.bring_manifest(name, key)
                return self._content.manifest(request, name, key)
            if method == "PUT":
                self._allow(request, name, "push", "pull")
                self._demand_repository(name)
                return await self._content.put_manifest(request, name, key)
            _only(method, "DELETE", "GET", "HEAD", "PUT")
            self._allow(request, name, "delete")
            return await self._content.delete_manifest(name, key)
        if kind == "blobs":
            if method in ("GET", "HEAD"):
                self._allow(request, name, "pull")
                digest = read_digest(key)
                coming = await self._proxy.bring_blob(name, digest, wanted=method == "GET")
                return self._content.blob(request, name, digest, coming)
            _only(method, "DELETE", "GET", "HEAD")
            self._allow(request, name, "delete")
            return await self._content.delete_blob(name, key)
        _only(method, "GET", "HEAD")
        self._allow(request, name, "pull")
        return self._content.referrers(request, name, key)

    async def _upload(self, request: Request, name: str, upload_id: str) -> Answer:
        caller = self._allow(request, name, "push", "pull")
        match request.method, bool(upload_id):
            case "POST", False:
                self._demand_repository(name)
                source = request.value("from")
                return await self._uploading.start(
                    request, name, lambda digest: self._mountable(caller, digest, source)
                )
            case "PATCH", True:
                return await self._uploading.append(request, name, upload_id)
            case "PUT", True:
                return await self._uploading.finish(request, name, upload_id)
            case "GET" | "HEAD", True:
                return self._uploading.status(name, upload_id)
            case "DELETE", True:
                return self._uploading.cancel(name, upload_id)
        raise _not_allowed(("PATCH", "PUT", "GET", "DELETE") if upload_id else ("POST",))

    def _allow(self, request: Request, name: str, *actions: Action) -> Caller:
        """Raises Refusal: first for a name that cannot be, then for a caller who may not; nothing was looked up."""
        if not is_repository_name(name):
            raise Refusal(400, "NAME_INVALID", f"{name[:300]!r} is not a repository name")
        return self._gate.admit(request, name, actions)

    def _demand_repository(self, name: str) -> None:
        if self._proxy.is_cached(name):
            raise Refusal(403, "DENIED", f"{name} is a cache of {name.partition('/')[0]}: nobody pushes into it")
        if self._create == "explicit" and self._store.catalog.repository(name) is None:
            raise Refusal(404, "NAME_UNKNOWN", f"there is no repository {name}, and pushing does not create it here")

    def _mountable(self, caller: Caller, digest: Digest, source: str) -> bool:
        """Only where the caller may read: a mount must not tell, or give, what a pull would refuse."""
        if source:
            return (
                is_repository_name(source) and caller.may(source, "pull") and self._store.catalog.linked(source, digest)
            )
        return any(caller.may(holder, "pull") for holder in self._store.catalog.holders(digest))


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise _not_allowed(allowed)


def _not_allowed(allowed: Sequence[str]) -> Refusal:
    headers = ((b"allow", ", ".join(allowed).encode()),)
    return Refusal(405, "UNSUPPORTED", "this endpoint does not take that method", headers)


async def _live(receive: Receive, send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
