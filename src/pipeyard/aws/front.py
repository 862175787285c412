"""One port: requests to AWS services go to the endpoint, everything else to the registry. An ASGI application."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipeyard.aws.calls import HttpCall, Reply
from pipeyard.registry.server.answers import Refusal, Request
from pipeyard.registry.server.asgi import App, Message, Receive, Send

MAX_BODY = 40 << 20  # the largest input is UploadLayerPart: 20 MiB, in base64
_THREADS = 8


def front(registry: App, is_aws: Callable[[str, str, str], bool], respond: Callable[[HttpCall], Reply]) -> App:
    """`respond` is called in threads: operations are synchronous."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aws")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_aws(
            scope["method"], scope["path"], scope.get("query_string", b"").decode("latin-1")
        ):
            await registry(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            call = await _call(scope, request)
        except Refusal as refusal:
            reply = Reply(status=refusal.status, content_type="text/plain", body=refusal.message.encode())
        else:
            reply = await asyncio.get_running_loop().run_in_executor(threads, respond, call)
        headers = (("content-type", reply.content_type), ("content-length", str(len(reply.body))), *reply.headers)
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
        await send({"type": "http.response.body", "body": reply.body if request.method != "HEAD" else b""})

    return app


async def _call(scope: Message, request: Request) -> HttpCall:
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    return HttpCall(
        method=request.method,
        path=raw.decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        body=await request.body(MAX_BODY),
    )
