"""Carries a graph out: finds what the cache has, runs the rest, as much of it at once as the graph allows.

Keys come first. Every step whose inputs are known gets its key before anything runs; what the cache has is not run,
and neither is what only such a step would need. The rest starts as soon as its inputs are there. A layer is packed
while the steps after it run, and only if it is part of the image.
"""

import os
import queue
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from pipeyard.errors import PipeyardError
from pipeyard.image.build.cache import BuildCache, Record
from pipeyard.image.build.folders import BaseLayers, materialized
from pipeyard.image.build.graph import (
    FILE_SYSTEMS,
    BaseImage,
    ContextFiles,
    CopyFiles,
    Download,
    GitFiles,
    Graph,
    InlineFiles,
    MakeFolder,
    RunCommand,
    Scratch,
)
from pipeyard.image.build.keys import SCRATCH_KEY, digest_key, image_key
from pipeyard.image.build.layerstate import FileSystem, LayerState
from pipeyard.image.build.nodes import FileTree
from pipeyard.image.build.postponed import Postponed
from pipeyard.image.build.sources import Sources
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.build.stepkeys import StepKeys, placed
from pipeyard.image.build.steps import StepTools, carry_out
from pipeyard.image.layers import Layer
from pipeyard.oci import Descriptor
from pipeyard.progress import Observer, StepEnded, StepStarted
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.exchange import ResolvedImage
from pipeyard.threads import Crew, Future

if TYPE_CHECKING:
    from pipeyard.image.build.sharing import Exported, SharedLayer

Opener = Callable[[int], AbstractContextManager[BinaryIO]]
Offering = Callable[[Layer, ResolvedImage | None, Opener, bool], None]
"""Told of each layer of the image as soon as it exists: the image that it comes from, how to read it, if it is new."""

_Done = queue.SimpleQueue[tuple[int, BaseException | None]]


class Solver:
    """One graph, carried out once."""

    def __init__(
        self,
        graph: Graph,
        *,
        tools: StepTools,
        cache: BuildCache,
        base_layers: BaseLayers,
        sources: Sources,
        settings: tuple[object, ...],
        observe: Observer,
        prefix: str,
        packers: Crew,
        later: Postponed,
        outgoing: BlobStore,
        offer: Offering,
        shared: "Mapping[str, SharedLayer]",
        pack_all: bool,
    ) -> None:
        self._graph = graph
        self._outgoing = outgoing
        self._offer = offer
        self._shared = shared
        self.platform = graph.platform
        self._vertices = graph.vertices
        self._tools = tools
        self._cache = cache
        self._base_layers = base_layers
        self._sources = sources
        self._observe = observe
        self._prefix = prefix
        self._packers = packers
        self._later = later
        self._keys = StepKeys(graph, sources, settings, reread=self._may_be_known)
        self._hits: dict[int, Record] = {}
        self._systems: dict[int, FileSystem] = {}
        self._image_chain = set(graph.chain(graph.target))
        self._packed = graph.reachable() if pack_all else self._image_chain
        self._needed: set[int] = set()
        self._seen: set[int] = set()  # layers that a RUN or a copy from the stage will look at
        self.steps = 0
        self.cached = 0

    def solve(self, workers: Crew, count: int) -> FileSystem:
        """The target's file system; layers of the image are being packed. Raises the first failure."""
        for number in sorted(self._graph.reachable()):
            self._look_up(number)
        self._needed = self._graph.needed(self._hits)
        self._mark_seen()
        self._run(workers, count)
        self._later.release()
        return self._systems[self._graph.target]

    # ------------------------------------------------------------ keys

    def _look_up(self, number: int) -> None:
        """Finds the key of a step, as far as that is possible before anything ran, and what the cache has for it."""
        vertex = self._vertices[number]
        key = self._keys.find(number, read=False)
        if key is None or key == self._keys.get(number):  # nothing new
            return
        self._keys[number] = key
        if isinstance(vertex.operation, CopyFiles | MakeFolder | RunCommand) and not vertex.uncached:
            record = self._found(number, key)
            if record is not None:
                self._hits[number] = record

    def _found(self, number: int, key: str) -> Record | None:
        """A record that is good for what this build needs of the step."""
        record = self._cache.find(key)
        if record is None:
            other = self._cache.alias(key)
            record = self._cache.find(other) if other else None
            if record is not None:
                self._keys[number] = other
        if record is not None:
            packed = record.blob is not None and self._tools.store.size(record.blob.digest) is not None
            if packed or (record.folder and isinstance(self._vertices[number].operation, RunCommand)):
                return record
            if record.folder and number not in self._packed:
                return record
        shared = self._shared.get(key)
        if shared is None:
            return None
        return Record(blob=shared.blob, diff_id=shared.diff_id, size=shared.size)

    def _may_be_known(self, shape: str) -> bool:
        """The same copy was done before, maybe of the same files: reading them first may save writing them."""
        return bool(self._shared or self._cache.alias(shape))

    # ------------------------------------------------------------ what must be done

    def _mark_seen(self) -> None:
        for number in self._needed:
            vertex = self._vertices[number]
            if number in self._hits or not vertex.inputs:
                continue
            if isinstance(vertex.operation, RunCommand):
                self._seen.update(self._graph.chain(vertex.inputs[0]))
            for other in vertex.inputs[1:]:
                if isinstance(self._vertices[other].operation, FILE_SYSTEMS):
                    self._seen.update(self._graph.chain(other))

    def _run(self, workers: Crew, count: int) -> None:
        """Starts what is ready until everything is done; every failure ends the loop."""
        waiting = {
            number: {other for other in self._vertices[number].inputs if other in self._needed}
            for number in sorted(self._needed)
        }
        done: _Done = queue.SimpleQueue()
        running = 0
        while waiting or running:
            ready = [number for number, inputs in waiting.items() if not inputs and running < count]
            alone = len(ready) == 1 and not running  # needs no thread of its own
            for number in ready:
                del waiting[number]
                if alone or self._is_quick(number):
                    workers.stop.check()
                    self._finish(number)
                    for inputs in waiting.values():
                        inputs.discard(number)
                    break
                if running >= count:
                    waiting[number] = set()
                    continue
                running += 1
                workers.start(self._finish, number).add_done_callback(partial(_told, number, done))
            else:
                if running:
                    self._later.release()
                    number, error = done.get()
                    running -= 1
                    if error is not None:
                        raise error
                    for inputs in waiting.values():
                        inputs.discard(number)

    def _is_quick(self, number: int) -> bool:
        operation = self._vertices[number].operation
        return number in self._hits or isinstance(operation, Scratch | BaseImage | ContextFiles | InlineFiles)

    # ------------------------------------------------------------ one vertex

    def _finish(self, number: int) -> None:
        vertex = self._vertices[number]
        match vertex.operation:
            case Scratch():
                self._systems[number] = FileSystem(SCRATCH_KEY)
            case BaseImage(image=image):
                self._tell(number, lambda: None, detail=image.descriptor.digest[:19])
                self._systems[number] = self._base_layers.file_system(image, image_key(image))
                if number in self._image_chain:
                    for layer in self._systems[number].layers:
                        assert layer.blob is not None
                        assert layer.open is not None
                        self._offer(layer.blob.result(), image, layer.open, False)
            case ContextFiles() | GitFiles() | Download() | InlineFiles():
                return
            case _ if number in self._hits:
                self.steps += 1
                self.cached += 1
                self._observe(StepStarted(self._step(number), vertex.title))
                self._observe(StepEnded(self._step(number), cached=True))
                self._systems[number] = self._from_record(number, self._hits[number])
            case _:
                self.steps += 1
                self._tell(number, lambda: self._carry_out(number))

    def _step(self, number: int) -> str:
        return f"{self._prefix}{number}"

    def _tell(self, number: int, work: Callable[[], object], detail: str = "") -> None:
        vertex, step = self._vertices[number], self._step(number)
        if not vertex.title:
            work()
            return
        self._observe(StepStarted(step, vertex.title))
        try:
            with placed(vertex):
                work()
        except PipeyardError as error:
            self._observe(StepEnded(step, error=error.message))
            raise
        except BaseException as error:
            self._observe(StepEnded(step, error=f"{type(error).__name__}: {error}"))
            raise
        self._observe(StepEnded(step, cached=number in self._hits, detail=detail))

    def _carry_out(self, number: int) -> None:
        vertex = self._vertices[number]
        below = self._systems[vertex.inputs[0]]
        trees = {at: self._tree(origin) for at, origin in enumerate(vertex.inputs) if at}
        if self._is_known_by_now(number, trees):
            return
        folders = {
            at: materialized(self._systems[origin])
            for at, origin in enumerate(vertex.inputs)
            if at and isinstance(self._vertices[origin].operation, FILE_SYSTEMS)
        }
        if not isinstance(vertex.operation, RunCommand):
            self._later.release()
        layer = LayerState(vertex.title)
        outcome = carry_out(
            vertex, below, trees, folders, layer, self._tools, step=self._step(number), laid_out=number in self._seen
        )
        packed = number in self._packed
        done = outcome.pack(self._store_of(number)) if packed and not outcome.folder else None
        # Files of the context were read by now: what could not be named before has a key now.
        key = self._keys.get(number) or self._keys.find(number, read=True) or digest_key("nothing else", os.urandom(16))
        self._keys[number] = layer.key = key
        if number in self._keys.shapes:
            self._cache.keep_alias(self._keys.shapes[number], key)
            if any(isinstance(tree, StackTree) for tree in trees.values()):
                self._packers.start(self._keep_content_key, number, trees, key)
        self._systems[number] = below.grown(key, layer)
        pack = partial(outcome.pack, self._store_of(number)) if done is None else lambda: done
        self._keep(number, layer, outcome.folder, outcome.size, pack if packed else None)

    def _store_of(self, number: int) -> BlobStore:
        """Where a layer goes: one of the image may be on its way to a registry before it is whole."""
        return self._outgoing if number in self._image_chain else self._tools.store

    def _is_known_by_now(self, number: int, trees: Mapping[int, FileTree]) -> bool:
        """Looks the step up again, now that its inputs exist: a stage may have come out as it was the last time."""
        vertex = self._vertices[number]
        if vertex.uncached:
            return False
        self._look_up(number)  # again: an input may be known by another key now
        shape = self._keys.shapes.get(number)
        if number not in self._hits and shape is not None and self._cache.alias(shape):
            content = self._keys.content(number, trees)
            known = self._cache.alias(content) if content else ""
            record = self._found(number, known) if known else None
            if record is not None:
                self._keys[number], self._hits[number] = known, record
        if number not in self._hits:
            return False
        self.cached += 1
        self._systems[number] = self._from_record(number, self._hits[number])
        return True

    def _keep_content_key(self, number: int, trees: Mapping[int, FileTree], key: str) -> None:
        content = self._keys.content(number, trees)
        if content:
            self._cache.keep_alias(content, key)

    def _keep(self, number: int, layer: LayerState, folder: str, size: int, pack: Callable[[], Layer] | None) -> None:
        key = layer.key
        if pack is None:
            self._cache.keep(key, Record(folder=folder, size=size))
            return

        def packed() -> Layer:
            done = pack()
            layer.open = lambda start: self._tools.store.read(done.blob.digest, start)
            record = Record(blob=done.blob, diff_id=done.diff_id, size=done.size, folder=folder)
            self._cache.keep(key, record)
            layer.make_folder = self._tools.unpacker(key, record, layer.open)
            if number in self._image_chain:
                self._offer(done, None, layer.open, True)
            return done

        if folder:
            layer.blob = self._later.start(packed)
        else:
            layer.blob = Future()
            layer.blob.set_result(packed())

    def _from_record(self, number: int, record: Record) -> FileSystem:
        vertex = self._vertices[number]
        below = self._systems[vertex.inputs[0]]
        key = self._keys[number]
        layer = LayerState(vertex.title, key)
        if record.folder:
            layer.folder = self._cache.folder(record.folder)
        blob, diff_id = record.blob, record.diff_id
        opened = self._opener(key, blob) if blob is not None else None
        if blob is not None and diff_id is not None and opened is not None:
            image, layer.open = opened
            layer.blob = Future()
            layer.blob.set_result(Layer(blob, diff_id, record.size))
            layer.make_folder = self._tools.unpacker(key, record, layer.open)
            if number in self._image_chain:
                self._offer(layer.blob.result(), image, layer.open, False)
        elif number in self._packed:
            operation = vertex.operation
            assert isinstance(operation, RunCommand)
            folder = layer.folder
            assert folder is not None
            self._keep(
                number,
                layer,
                record.folder,
                record.size,
                lambda: self._tools.pack_run(folder, materialized(below), operation, self._store_of(number)),
            )
        return below.grown(key, layer)

    def _opener(self, key: str, blob: Descriptor) -> "tuple[ResolvedImage | None, Opener] | None":
        """How a layer of the cache is read: from the store, or from the shared cache that has it."""
        if self._tools.store.size(blob.digest) is not None:
            return None, lambda start: self._tools.store.read(blob.digest, start)
        shared = self._shared.get(key)
        if shared is None or shared.blob.digest != blob.digest:
            return None
        return shared.image, self._base_layers.opener(shared.image, blob)

    def exported(self) -> "list[Exported]":
        """The layers of all steps that were packed, for a cache elsewhere. Waits for them."""
        from pipeyard.image.build.sharing import Exported

        found: dict[str, Exported] = {}
        for _, system in sorted(self._systems.items()):
            for layer in system.layers:
                if layer.key and layer.key not in found and layer.blob is not None:
                    done = layer.blob.result()
                    assert layer.open is not None
                    found[layer.key] = Exported(key=layer.key, layer=done, open=layer.open)
        return list(found.values())

    def _tree(self, origin: int) -> FileTree:
        operation = self._vertices[origin].operation
        match operation:
            case ContextFiles():
                return self._sources.local(operation)
            case GitFiles() | Download() | InlineFiles():
                return self._sources.fetched(operation).tree
            case _:
                return StackTree(materialized(self._systems[origin]))


def _told(number: int, done: _Done, future: "Future[None]") -> None:
    """Of the future, and not by the work itself: a stop may come before the work begins, and somebody waits."""
    done.put((number, future.exception()))
