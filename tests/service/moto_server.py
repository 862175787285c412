"""AWS's API of a moto server that is a process of its own, for real botocore clients."""

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipeyard.service.ecr import Clients

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PASSWORD = "123456789012-auth-token"  # what moto's GetAuthorizationToken gives


@contextmanager
def moto_server() -> Iterator[str]:
    """Gives its URL; skips where moto is not installed."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed (it is in the dev dependencies)")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                raise AssertionError("moto ended")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
            yield found[0]
        finally:
            process.kill()


def clients_of(url: str) -> Clients:
    from botocore.session import Session

    session = Session()

    def client(service: str, region: str) -> Any:
        return session.create_client(
            service,
            region_name=region or KEYS["AWS_REGION"],
            endpoint_url=url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    return client
