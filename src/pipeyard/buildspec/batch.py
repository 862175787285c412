"""Which builds a batch consists of, and which of them may start next. Pure."""

from collections.abc import Mapping
from itertools import product
from typing import Literal

from msgspec import Struct

from pipeyard.buildspec.model import Batch, BatchBuild, BatchEnvironment

Verdict = Literal["SUCCEEDED", "FAILED"]


class BatchStep(Struct, frozen=True):
    """What to do now: builds to start; `over` when none runs and none will."""

    start: tuple[BatchBuild, ...]
    over: bool


def expand(batch: Batch) -> tuple[BatchBuild, ...]:
    """Every build of a batch; of a matrix each combination, in the order of the file."""
    matrix = batch.matrix
    if matrix is None:
        return batch.builds
    names = tuple(matrix.variables)
    combinations = product(
        matrix.buildspecs or ("",),
        matrix.images or (matrix.static.image,),
        matrix.compute_types or (matrix.static.compute_type,),
        *(matrix.variables[name] for name in names),
    )
    return tuple(
        BatchBuild(
            identifier=f"build{number}",
            place=matrix.place,
            buildspec=buildspec,
            ignore_failure=matrix.ignore_failure,
            env=BatchEnvironment(
                variables={**matrix.static.variables, **dict(zip(names, values, strict=True))},
                image=image,
                compute_type=compute,
                type=matrix.static.type,
                privileged_mode=matrix.static.privileged_mode,
            ),
        )
        for number, (buildspec, image, compute, *values) in enumerate(combinations)
    )


def advance(
    builds: tuple[BatchBuild, ...], started: frozenset[str], ended: Mapping[str, Verdict], *, fast_fail: bool
) -> BatchStep:
    """What may start now that `ended` has ended. A failure that is not ignored stops new starts when `fast_fail`.

    A build whose predecessor failed never starts, unless that failure is ignored.
    """
    ignored = {build.identifier for build in builds if build.ignore_failure}
    failed = {name for name, verdict in ended.items() if verdict == "FAILED" and name not in ignored}
    done = set(ended) - failed
    ready = tuple(
        build
        for build in builds
        if build.identifier not in started and set(build.depend_on) <= done and not (failed and fast_fail)
    )
    return BatchStep(ready, over=not ready and started == frozenset(ended))


def batch_succeeded(builds: tuple[BatchBuild, ...], ended: Mapping[str, Verdict]) -> bool:
    """Whether all builds ran, and every failure among them is one to be ignored."""
    return all(build.identifier in ended and (ended[build.identifier] == "SUCCEEDED" or build.ignore_failure)
               for build in builds)  # fmt: skip
