"""`pipeyard serve` in a process of its own, and real clients of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.session import Session

from tests.journeys.yard import Yard, ended, free_port, until_open

KEY, SECRET = "AKIAEXAMPLE", "secret"


class Server:
    def __init__(self, port: int, process: Any) -> None:
        self.port = port
        self.process = process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        return Session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}),
        )


@contextmanager
def serving(yard: Yard, *arguments: str, **settings: str) -> Iterator[Server]:
    port = free_port()
    given = {"PIPEYARD_ACCESS_KEYS": f"{KEY}:{SECRET}", **settings}
    with ended(yard.start("serve", "--port", str(port), *arguments, **given)) as process:
        until_open(port, process)
        yield Server(port, process)


def until(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `look` gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about")
