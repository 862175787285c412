"""The three things that steps do: copy files, make a working folder, run a command. Each ends in one layer."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct, structs

from pipeyard.errors import BuildFailed
from pipeyard.image.build.cache import BuildCache, Record
from pipeyard.image.build.copying import NOWHERE, Copier, Ownership, expand_wildcards, joined, resolve_in
from pipeyard.image.build.folders import materialized, view_of
from pipeyard.image.build.graph import CopyFiles, CopySource, MakeFolder, RunCommand, Vertex
from pipeyard.image.build.layerstate import FileSystem, LayerState
from pipeyard.image.build.laying import lay_out
from pipeyard.image.build.modes import octal_mode, parse_mode
from pipeyard.image.build.nodes import FileTree
from pipeyard.image.build.owners import file_owner, needs_names
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.build.unpacking import Spool, unpack
from pipeyard.image.build.views import Growing, View
from pipeyard.image.dockerfile.ignore import compile_patterns
from pipeyard.image.layers import (
    Compression,
    Entry,
    FolderStack,
    Layer,
    form_of_this_process,
    write_layer,
)
from pipeyard.registry.blobs import BlobStore
from pipeyard.threads import Stop

if TYPE_CHECKING:
    from pipeyard.image.build.running import Runner


class Outcome(Struct, frozen=True, kw_only=True):
    """`folder` is the cache's id of the layer as a folder, "" when it was not laid out; `pack` makes its blob
    in a store."""

    folder: str = ""
    size: int = 0
    pack: Callable[[BlobStore], Layer]


class StepTools:
    """What steps work with. Safe for threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        cache: BuildCache,
        compression: Compression,
        epoch_s: int,
        make_runner: "Callable[[], Runner]",
        threads: int,
        stop: Stop,
    ) -> None:
        self.store = store
        self.cache = cache
        self.epoch_s = epoch_s
        self._make_runner = make_runner
        self._lock = threading.Lock()  # guards _runner
        self._runner: Runner | None = None
        self.stop = stop
        self._compression = compression
        self._threads = threads
        self._stacks: dict[tuple[Path, ...], FolderStack] = {}  # two threads may make the same one, which is harmless

    @property
    def runner(self) -> "Runner":
        """Made for the first RUN: with the sandbox it takes 4 ms to import."""
        with self._lock:
            self._runner = self._runner or self._make_runner()
            return self._runner

    @property
    def epoch_ns(self) -> int:
        return self.epoch_s * 1_000_000_000

    def pack(self, entries: Iterator[Entry], into: BlobStore) -> Layer:
        return write_layer(
            entries,
            into,
            compression=self._compression,
            epoch_s=self.epoch_s,
            stop=self.stop,
            threads=self._threads,
        )

    def pack_run(self, upper: Path, lowers: tuple[Path, ...], run: RunCommand, into: BlobStore) -> Layer:
        """The layer of a RUN from what it left in `upper`."""
        return self.pack(iter(self.changes(upper, self.stack(lowers), run)), into)

    def changes(self, upper: Path, lowers: FolderStack, run: RunCommand) -> list[Entry]:
        from pipeyard.image.layers import diff_upper

        if form_of_this_process().keeps_owners:
            return diff_upper(upper, lowers)
        from pipeyard.image.build.running import created_by

        return diff_upper(upper, lowers, run_owner=created_by(run, StackTree(lowers)))

    def stack(self, lowers: tuple[Path, ...]) -> FolderStack:
        """A look into folders; of a stage's next step it knows what the one before knew."""
        known = self._stacks.get(lowers)
        if known is None:
            below = self._stacks.get(lowers[:-1])
            known = self._stacks[lowers] = below.grown(lowers[-1]) if below is not None else FolderStack(lowers)
        return known

    def unpacker(
        self, key: str, record: Record, opened: Callable[[int], AbstractContextManager[BinaryIO]]
    ) -> Callable[[Sequence[Path]], Path]:
        """Lays a layer out from its blob."""

        def make(lowers: Sequence[Path]) -> Path:
            from pipeyard.image.layers import extract

            folder, path = self.cache.new_folder()
            with opened(0) as stream:
                extract(stream, path, lowers=lowers, expected=record.diff_id, stop=self.stop)
            self.cache.keep(key, structs.replace(record, folder=folder))
            return path

        return make


def carry_out(
    vertex: Vertex,
    below: FileSystem,
    trees: Mapping[int, FileTree],
    folders: Mapping[int, tuple[Path, ...]],
    layer: LayerState,
    tools: StepTools,
    *,
    step: str,
    laid_out: bool,
) -> Outcome:
    """Does the step. `trees` and `folders` are its other inputs, by position. Raises BuildFailed.

    `laid_out`: a later step looks at the layer.
    """
    match vertex.operation:
        case CopyFiles() as copy:
            return _placed(copied(copy, below, trees, tools), layer, tools, laid_out=laid_out)
        case MakeFolder() as wanted:
            return _placed(_made_folder(wanted, below, tools), layer, tools, laid_out=laid_out)
        case RunCommand() as run:
            return _ran(run, vertex, below, trees, folders, layer, tools, step)
        case other:
            raise AssertionError(f"{type(other).__name__} is no step")


def copied(copy: CopyFiles, below: FileSystem, trees: Mapping[int, FileTree], tools: StepTools) -> Copier:
    """The entries of a COPY or ADD, each content opened when it is asked for."""
    view = Growing(View((), None) if copy.link else view_of(below, copy.destination))
    # What --link copies lies on nothing until the layers are joined, so there are no names to look up either.
    names = StackTree(materialized(below)) if needs_names(copy.owner) and below.layers and not copy.link else None
    ownership = Ownership(
        owner=file_owner(copy.owner, names),
        change_mode=parse_mode(copy.mode) if copy.mode else None,
        folder_mode=octal_mode(copy.mode) if copy.mode else None,
    )
    copier = Copier(view, ownership, tools.epoch_ns)
    spool = Spool(tools.cache.root)
    for source in copy.sources:
        _take(copier, copy, source, trees[source.input], spool)
    return copier


def _take(copier: Copier, copy: CopyFiles, source: CopySource, tree: FileTree, spool: Spool) -> None:
    if source.required:
        _check_required(tree, source, copy.exclude)
    paths = expand_wildcards(tree, source.path) if source.wildcards else [source.path.lstrip("/")]
    for path in paths:
        if source.unpack:
            followed = resolve_in(tree, path)
            node = tree.lookup(followed)
            if node is not None and unpack(copier, tree, followed, node, copy.destination, spool):
                continue
        copier.copy(
            tree,
            [path],
            copy.destination,
            contents_only=source.contents_only,
            include=source.include,
            exclude=copy.exclude,
        )


def _check_required(tree: FileTree, source: CopySource, exclude: tuple[str, ...]) -> None:
    """A path of --parents without wildcards must exist: not behind a link, and if it is one, with what it leads to."""
    path = joined(resolve_in(tree, source.path.strip("/")), source.required)
    wanted = "/" + joined(source.path.strip("/"), source.required)
    if tree.lookup(path) is None or tree.lookup(resolve_in(tree, path)) is None:
        raise BuildFailed(f'"{wanted}": not found', hint="--parents follows no links: name what they lead to")
    excluded = compile_patterns(exclude, NOWHERE)
    if not excluded.has_exceptions and excluded.ignores(source.required):
        raise BuildFailed(f'"{wanted}": not found', hint="--exclude leaves it out")


def _made_folder(wanted: MakeFolder, below: FileSystem, tools: StepTools) -> Copier:
    view = Growing(view_of(below, wanted.path))
    names = StackTree(materialized(below)) if needs_names(wanted.owner) and below.layers else None
    copier = Copier(view, Ownership(owner=file_owner(wanted.owner, names)), tools.epoch_ns)
    copier.make_folders(view.resolve(wanted.path.lstrip("/")))
    return copier


def _placed(copier: Copier, layer: LayerState, tools: StepTools, *, laid_out: bool) -> Outcome:
    layer.listing = copier.listing()
    if not laid_out:
        return Outcome(pack=lambda into: tools.pack(copier.entries(), into))
    folder, path = tools.cache.new_folder()
    try:
        size = lay_out(copier.entries(), path, epoch_ns=tools.epoch_ns, stop=tools.stop)
    except BaseException:
        tools.cache.discard(folder)
        raise
    layer.folder = path
    return Outcome(folder=folder, size=size, pack=lambda into: tools.pack(copier.entries(str(path)), into))


def _ran(
    run: RunCommand,
    vertex: Vertex,
    below: FileSystem,
    trees: Mapping[int, FileTree],
    folders: Mapping[int, tuple[Path, ...]],
    layer: LayerState,
    tools: StepTools,
    step: str,
) -> Outcome:
    lowers = materialized(below)
    stack = tools.stack(lowers)
    folder, upper = tools.cache.new_folder()
    try:
        tools.runner.run(
            run, vertex, lowers=lowers, tree=StackTree(stack), upper=upper, trees=trees, folders=folders, step=step
        )
        changes = tools.changes(upper, stack, run)
    except BaseException:
        tools.cache.discard(folder)
        raise
    layer.folder = upper
    size = sum(entry.size for entry in changes) + 1024 * len(changes)
    return Outcome(folder=folder, size=size, pack=lambda into: tools.pack(iter(changes), into))
