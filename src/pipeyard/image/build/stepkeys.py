"""The keys of a graph's steps: by what they are made of, as far as that is known, and by what they came to."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from pipeyard.errors import BuildFailed, located
from pipeyard.image.build.copying import resolve_in
from pipeyard.image.build.graph import (
    BaseImage,
    ContextFiles,
    CopyFiles,
    CopySource,
    Download,
    GitFiles,
    Graph,
    InlineFiles,
    MakeFolder,
    MountOf,
    RunCommand,
    Scratch,
    Vertex,
)
from pipeyard.image.build.keys import SCRATCH_KEY, digest_key, image_key, selection, step_key
from pipeyard.image.build.nodes import FileTree
from pipeyard.image.build.sources import Sources
from pipeyard.image.build.stacktree import StackTree


class StepKeys(dict[int, str]):
    """The keys found so far, by the vertex's number. `shapes`: of copies, by all but the content of their sources.

    `reread` says of a shape whether it pays to read the context's files for a key before the copy itself does.
    """

    def __init__(
        self, graph: Graph, sources: Sources, settings: tuple[object, ...], *, reread: Callable[[str], bool]
    ) -> None:
        super().__init__()
        self._vertices = graph.vertices
        self._sources = sources
        self._settings = settings
        self._reread = reread
        self.shapes: dict[int, str] = {}

    def find(self, number: int, *, read: bool) -> str | None:
        """None while something that the key is made of is not known. With `read`, files are read for it."""
        vertex = self._vertices[number]
        match vertex.operation:
            case Scratch():
                return SCRATCH_KEY
            case BaseImage(image=image):
                return image_key(image)
            case InlineFiles() | GitFiles() | Download() as operation:
                with placed(vertex):
                    return digest_key("files", self._sources.fetched(operation).key)
            case ContextFiles():
                return None
            case CopyFiles() as copy:
                return self._copy_key(number, copy, read=read)
            case MakeFolder() as folder:
                below = self.get(vertex.inputs[0])
                return step_key(folder, [below], self._settings) if below is not None else None
            case RunCommand() as run:
                return self._run_key(vertex, run)

    def _copy_key(self, number: int, copy: CopyFiles, *, read: bool) -> str | None:
        vertex = self._vertices[number]
        below = self.get(vertex.inputs[0])
        if below is None:
            return None
        shape = self.shapes[number] = digest_key("shape", step_key(copy, [below], self._settings))
        parts: list[str | bytes] = [below]
        for source in copy.sources:
            found = self._taken(vertex, copy, source, shape=shape, read=read)
            if found is None:
                return None
            parts.append(found)
        return step_key(copy, parts, self._settings)

    def _taken(
        self, vertex: Vertex, copy: CopyFiles, source: CopySource, *, shape: str, read: bool
    ) -> str | bytes | None:
        """What stands in the key for a source: the files themselves of a context, else the key of their step."""
        origin = vertex.inputs[source.input]
        operation = self._vertices[origin].operation
        if not isinstance(operation, ContextFiles):
            return self.get(origin)
        try:
            with placed(vertex):
                found = selection(self._sources.local(operation), source, copy.exclude, read=read)
                if found is None and self._reread(shape):
                    found = selection(self._sources.local(operation), source, copy.exclude, read=True)
                return found
        except BuildFailed:
            return None  # carried out, it fails again, as a step

    def _run_key(self, vertex: Vertex, run: RunCommand) -> str | None:
        below = self.get(vertex.inputs[0])
        if below is None:
            return None
        parts: list[str | bytes] = [below]
        for mount in run.mounts:
            if mount.input < 0:
                continue
            found = self._mounted(mount, vertex.inputs[mount.input])
            if found is None:
                return None
            parts.append(found)
        return step_key(run, parts, self._settings)

    def _mounted(self, mount: MountOf, origin: int) -> str | bytes | None:
        """Likewise for a mount. A command may look at anything below it, so everything below it counts."""
        operation = self._vertices[origin].operation
        if not isinstance(operation, ContextFiles):
            return self.get(origin)
        files = self._sources.local(operation)
        path = resolve_in(files, getattr(mount.mount, "source", "").strip("/"))
        node = files.lookup(path)
        if node is None:
            return None
        found = files.summary(path, read=True) if node.kind == "dir" else files.digest(path, node)
        assert found is not None
        return found

    def content(self, number: int, trees: Mapping[int, FileTree]) -> str:
        """The key of a copy by what it takes from other stages, instead of by how they were made."""
        vertex = self._vertices[number]
        copy = vertex.operation
        if not isinstance(copy, CopyFiles) or not any(isinstance(tree, StackTree) for tree in trees.values()):
            return ""
        try:
            parts = [selection(trees[source.input], source, copy.exclude, read=True) for source in copy.sources]
        except BuildFailed:
            return ""
        below = self[vertex.inputs[0]]
        return digest_key("content", step_key(copy, [below, *(part or b"" for part in parts)], self._settings))


def placed(vertex: Vertex) -> AbstractContextManager[None]:
    """An error that passes gets the place of the vertex's instruction."""
    return located(vertex.place) if vertex.place is not None else nullcontext()
