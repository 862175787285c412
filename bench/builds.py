"""Builds the same small contexts with pipeyard and with buildah, in turns, and shows the times side by side.

    .venv/bin/python bench/builds.py [--runs 5] [--only NAME]

Each context is made anew below a temporary folder and built cold (no cache) and warm (nothing changed). buildah comes
from the distribution (apt-get install buildah); without it only pipeyard is measured. `busybox` must be on the PATH.
Its RUNs are by chroot, which works everywhere and is its fastest way; those of pipeyard are in its usual sandbox.
Times are medians of wall-clock seconds of the whole command; the range of the runs stands behind them.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Make = Callable[[Path], None]


def _busybox(context: Path) -> None:
    shutil.copy(shutil.which("busybox") or "/bin/busybox", context / "busybox")


def tiny(context: Path) -> None:
    (context / "app").write_text("app\n")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nCMD ["/app"]\n')


def many_files(context: Path) -> None:
    for at in range(4000):
        folder = context / "src" / str(at % 50)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{at}.py").write_text(f"value = {at}\n" * 20)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY src /src\n")


def large_file(context: Path) -> None:
    noise = random.Random(1)
    (context / "data").write_bytes(b"".join(noise.randbytes(1 << 20) for _ in range(64)))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")


def run_steps(context: Path) -> None:
    _busybox(context)
    steps = "".join(f"RUN echo {at} > /made-{at}\n" for at in range(8))
    (context / "Dockerfile").write_text(f"FROM scratch\nCOPY busybox /bin/sh\n{steps}")


def stages(context: Path) -> None:
    _busybox(context)
    branches = "".join(f"FROM base AS s{at}\nRUN echo {at} > /out\n" for at in range(4))
    copies = "".join(f"COPY --from=s{at} /out /out-{at}\n" for at in range(4))
    (context / "Dockerfile").write_text(f"FROM scratch AS base\nCOPY busybox /bin/sh\n{branches}FROM scratch\n{copies}")


CONTEXTS: dict[str, Make] = {
    "tiny": tiny,
    "many-files": many_files,
    "large-file": large_file,
    "run-steps": run_steps,
    "stages": stages,
}


def pipeyard(context: Path, state: Path, *, cached: bool) -> list[str]:
    program = Path(sys.executable).with_name("pipeyard")
    command = [str(program), "image", "build", "-q", "-t", "bench:1", str(context)]
    return command if cached else [*command, "--no-cache"]


def buildah(context: Path, state: Path, *, cached: bool) -> list[str]:
    root = ["--root", str(state / "root"), "--runroot", str(state / "run")]
    return [
        "buildah",
        *root,
        "bud",
        "-q",
        "--isolation=chroot",
        f"--layers={str(cached).lower()}",
        "-t",
        "bench:1",
        str(context),
    ]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--only", choices=CONTEXTS)
    given = arguments.parse_args()
    tools = {"pipeyard": pipeyard}
    if shutil.which("buildah"):
        tools["buildah"] = buildah
    else:
        print("buildah is not installed: only pipeyard is measured", file=sys.stderr)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {given.runs} runs\n")
    print("| context | pipeyard s | buildah s | buildah / pipeyard |\n| --- | --- | --- | --- |")
    for name in [given.only] if given.only else CONTEXTS:
        with tempfile.TemporaryDirectory(prefix="bench-builds-") as folder:
            for cached in (False, True):
                _measure(name, Path(folder), tools, given.runs, cached=cached)
    return 0


def _measure(name: str, folder: Path, tools: dict[str, Callable[..., list[str]]], runs: int, *, cached: bool) -> None:
    context = folder / "context"
    if not context.exists():
        context.mkdir()
        CONTEXTS[name](context)
    times: dict[str, list[float]] = {tool: [] for tool in tools}
    for at in range(runs + 1):
        for tool, command in tools.items():
            seconds = _seconds(command(context, folder / tool, cached=cached), folder / tool)
            if at:  # the first run of each fills caches of the machine, or the builder's own
                times[tool].append(seconds)
    medians = {tool: statistics.median(found) for tool, found in times.items()}
    shown = {tool: f"{medians[tool]:.2f} ({min(found):.2f}-{max(found):.2f})" for tool, found in times.items()}
    ratio = f"{medians['buildah'] / medians['pipeyard']:.1f}" if "buildah" in medians else "-"
    label = f"{name}, {'unchanged' if cached else 'without cache'}"
    print(f"| {label} | {shown['pipeyard']} | {shown.get('buildah', '-')} | {ratio} |", flush=True)


def _seconds(command: list[str], state: Path) -> float:
    state.mkdir(exist_ok=True)
    started = time.perf_counter()
    done = subprocess.run(["env", f"PIPEYARD_HOME={state}", *command], capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.decode(errors='replace')}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
