"""The `batch` of a buildspec: several builds at once, listed, in a graph, or as every combination of values.

Source: CodeBuild User Guide, "Batch build buildspec reference".
"""

import re

from pipeyard.buildspec.model import Batch, BatchBuild, BatchEnvironment, BuildMatrix
from pipeyard.buildspec.nodes import Complaints
from pipeyard.definition.documents import Items, Leaf, Node, Table
from pipeyard.errors import Place

_KINDS = ("build-list", "build-graph", "build-matrix", "build-fanout")
_MOST_SHARDS = 100
_BUILD = ("identifier", "env", "buildspec", "debug-session", "ignore-failure", "depend-on")
_ENVIRONMENT = ("variables", "image", "compute-type", "type", "fleet", "privileged-mode")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,128}")


def read_batch(root: Table, complaints: Complaints) -> Batch | None:
    table = complaints.table(root.get("batch"), "batch")
    if table is None:
        return None
    complaints.known(table, "batch", ("fast-fail", *_KINDS))
    given = [kind for kind in _KINDS if table.get(kind) is not None]
    if len(given) != 1:
        complaints.error(f"batch needs exactly one of {', '.join(_KINDS)}", table.place)
    builds: tuple[BatchBuild, ...] = ()
    for kind in given:
        if kind == "build-fanout":
            builds = _fanout(table.entries[kind], complaints)
        elif kind != "build-matrix":
            builds = _builds(table.entries[kind], kind, complaints)
    matrix = table.get("build-matrix")
    return Batch(
        fast_fail=complaints.truth(table, "fast-fail", default=True),
        builds=builds,
        matrix=_matrix(matrix, complaints) if matrix is not None else None,
    )


def _fanout(node: Node, complaints: Complaints) -> tuple[BatchBuild, ...]:
    """Equal builds, each of which runs its share of the tests."""
    table = complaints.table(node, "build-fanout")
    if table is None:
        return ()
    complaints.known(table, "build-fanout", ("parallelism", "ignore-failure"))
    told = complaints.text(table, "parallelism")
    if not told.isdigit() or not 1 <= int(told) <= _MOST_SHARDS:
        place = table.entries["parallelism"].place if "parallelism" in table.entries else table.place
        complaints.error(f"build-fanout needs parallelism, from 1 to {_MOST_SHARDS}", place)
        return ()
    return tuple(
        BatchBuild(
            identifier=f"build{number}",
            place=table.place,
            ignore_failure=complaints.truth(table, "ignore-failure"),
            shard=(number, int(told)),
        )
        for number in range(int(told))
    )


def _builds(node: Node, kind: str, complaints: Complaints) -> tuple[BatchBuild, ...]:
    if not isinstance(node, Items):
        complaints.error(f"{kind} must be a list", node.place)
        return ()
    found: list[BatchBuild] = []
    places: dict[str, Place] = {}
    for number, item in enumerate(node.nodes):
        table = complaints.table(item, f"an entry of {kind}")
        if table is None:
            continue
        complaints.known(table, kind, _BUILD)
        identifier = complaints.text(table, "identifier")
        if not identifier and kind == "build-graph":
            complaints.error("a build of a graph needs an identifier", table.place)
        identifier = identifier or f"build{number}"
        if not _IDENTIFIER.fullmatch(identifier):
            complaints.error(
                f"{identifier!r} is no identifier", table.entries["identifier"].place, hint="letters, digits and _"
            )
        if identifier in places:
            complaints.error(f"identifier {identifier} is here a second time", table.place)
        places[identifier] = table.place
        depend_on = complaints.texts(table, "depend-on")
        if depend_on and kind == "build-list":
            complaints.warning("depend-on counts in a build-graph only", table.entries["depend-on"].place)
            depend_on = ()
        found.append(
            BatchBuild(
                identifier=identifier,
                place=table.place,
                env=_environment(table.get("env"), complaints),
                buildspec=complaints.text(table, "buildspec"),
                depend_on=depend_on,
                ignore_failure=complaints.truth(table, "ignore-failure"),
                debug_session=complaints.truth(table, "debug-session"),
            )
        )
    _check_graph(found, complaints)
    return tuple(found)


def _check_graph(builds: list[BatchBuild], complaints: Complaints) -> None:
    """Complains of edges to nowhere and of circles."""
    names = {build.identifier for build in builds}
    for build in builds:
        for name in build.depend_on:
            if name not in names:
                complaints.error(
                    f"{build.identifier} depends on {name!r}, which is no build of the graph",
                    build.place,
                    hint=f"builds are {', '.join(sorted(names))}",
                )
    left = {build.identifier: set(build.depend_on) & names for build in builds}
    while ready := [name for name, needs in left.items() if not needs]:
        for name in ready:
            del left[name]
        for needs in left.values():
            needs.difference_update(ready)
    for build in builds:
        if build.identifier in left:
            complaints.error(f"builds depend on each other in a circle: {', '.join(sorted(left))}", build.place)
            return


def _environment(node: Node | None, complaints: Complaints) -> BatchEnvironment:
    table = complaints.table(node, "env")
    if table is None:
        return BatchEnvironment()
    complaints.known(table, "env", _ENVIRONMENT)
    privileged = table.get("privileged-mode")
    return BatchEnvironment(
        variables=complaints.variables(table.get("variables"), "variables"),
        image=complaints.text(table, "image"),
        compute_type=complaints.text(table, "compute-type"),
        type=complaints.text(table, "type"),
        fleet=complaints.text(table, "fleet"),
        privileged_mode=None if privileged is None else complaints.truth(table, "privileged-mode"),
    )


def _matrix(node: Node, complaints: Complaints) -> BuildMatrix | None:
    table = complaints.table(node, "build-matrix")
    if table is None:
        return None
    complaints.known(table, "build-matrix", ("static", "dynamic"))
    static = complaints.table(table.get("static"), "static")
    dynamic = complaints.table(table.get("dynamic"), "dynamic")
    if static is not None:
        complaints.known(static, "static", ("ignore-failure", "env"))
    if dynamic is None:
        complaints.error("build-matrix needs dynamic values", table.place)
        return BuildMatrix(place=table.place)
    complaints.known(dynamic, "dynamic", ("buildspec", "env"))
    env = complaints.table(dynamic.get("env"), "env")
    variables: dict[str, tuple[str, ...]] = {}
    if env is not None:
        complaints.known(env, "env", ("compute-type", "image", "variables"))
        told = complaints.table(env.get("variables"), "variables")
        for name in told.entries if told else ():
            if told is not None:
                variables[name] = _values(told, name, complaints)
    return BuildMatrix(
        place=table.place,
        static=_environment(static.get("env"), complaints) if static else BatchEnvironment(),
        ignore_failure=complaints.truth(static, "ignore-failure") if static else False,
        buildspecs=complaints.texts(dynamic, "buildspec"),
        images=complaints.texts(env, "image") if env else (),
        compute_types=complaints.texts(env, "compute-type") if env else (),
        variables=variables,
    )


def _values(table: Table, name: str, complaints: Complaints) -> tuple[str, ...]:
    node = table.entries[name]
    if isinstance(node, Leaf):
        return (node.text,)
    return complaints.texts(table, name)
