"""Builds that are killed, and builds that run at the same time."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeyard.image.build import Built
from tests.image.build.conftest import Yard

CHILD = """
import os, signal, sys
from pathlib import Path
from pipeyard.image.build import BuildParts, BuildRequest, Publication, build_image
from pipeyard.image.build import cache, steps
from pipeyard.image.sandbox import open_sandbox
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.store import ContentStore

root, context, point, dockerfile = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

def dying(call):
    def die(*arguments, **options):
        result = call(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        return result
    return die

match point:
    case "a folder was made":
        cache.BuildCache.new_folder = dying(cache.BuildCache.new_folder)
    case "a folder was filled":
        steps.lay_out = dying(steps.lay_out)
    case "a command ran":
        steps.StepTools.changes = dying(steps.StepTools.changes)
    case "a layer was packed":
        steps.StepTools.pack = dying(steps.StepTools.pack)
    case "a record was kept":
        cache.BuildCache.keep = dying(cache.BuildCache.keep)

store = ContentStore(root / "registry")
destination = StoreDestination(store, "app")
built = build_image(
    BuildRequest(context=context, dockerfile_text=dockerfile.encode()),
    BuildParts(
        store=store, cache=root / "cache", origin=StoreOrigin(store), sandbox=open_sandbox,
        publications=[Publication(destination=destination, tags=("latest",))],
    ),
)
destination.close()
print(built.digest)
"""


def child(yard: Yard, point: str, dockerfile: str) -> "subprocess.Popen[str]":
    arguments = [str(yard.cache.parent), str(yard.context), point, dockerfile]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def dockerfile_on(base: str) -> str:
    return f"FROM {base}\nCOPY src /src\nRUN ls /src > /list\nCOPY f /f\n"


@pytest.mark.parametrize(
    "point",
    ["a folder was made", "a folder was filled", "a command ran", "a layer was packed", "a record was kept"],
)
def test_a_build_killed_anywhere_publishes_nothing_and_the_next_one_is_right(
    yard: Yard, busybox: str, tmp_path: Path, point: str
) -> None:
    yard.write({"src/a": "a", "f": "f"})
    dying = child(yard, point, dockerfile_on(busybox))
    dying.communicate()
    assert dying.returncode == -signal.SIGKILL
    assert yard.store.catalog.manifest("app", "latest") is None
    after = yard.build(dockerfile_on(busybox))
    fresh = yard.build(dockerfile_on(busybox), no_cache=True)
    assert after.digest == fresh.digest


def test_builds_in_several_processes_and_threads_share_one_cache(yard: Yard, busybox: str) -> None:
    yard.write({"src/a": "a", "f": "f"})
    children = [child(yard, "", dockerfile_on(busybox)) for _ in range(2)]
    results: list[Built] = []
    threads = [threading.Thread(target=lambda: results.append(yard.build(dockerfile_on(busybox)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digests = {one.communicate()[0].strip() for one in children} | {str(one.digest) for one in results}
    assert len(results) == 2
    assert len(digests) == 1
