"""COPY and ADD: from where to where, and with which options.

Source: BuildKit, frontend/dockerfile/dockerfile2llb/convert_copy.go.
"""

import posixpath
import re
from urllib.parse import urlsplit

from pipeyard.errors import DockerfileError
from pipeyard.image.build.gitref import parse_git
from pipeyard.image.build.graph import ContextFiles, CopyFiles, CopySource, Download, GitFiles, InlineFiles
from pipeyard.image.build.modes import parse_mode
from pipeyard.image.build.stagestate import StageState, VertexList, source_key
from pipeyard.image.build.workpaths import destination_path, joined
from pipeyard.image.dockerfile.instructions import Add, Copy
from pipeyard.image.dockerfile.wildcard import has_wildcard

_CHECKSUM_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


def plan_copy(stage: StageState, instruction: Copy | Add, graph: VertexList) -> None:
    copier = _Copier(stage, instruction, graph)
    for word in instruction.sources:
        copier.add(word.text)
    for file in instruction.files:
        name = joined("/", file.name).strip("/")
        vertex = graph.add(InlineFiles(name=name, content=file.content.encode("utf-8", "surrogateescape")), step=False)
        copier.take(vertex, f"/{name}", wildcards=False, contents_only=False)
    stage.vertex = graph.add(
        CopyFiles(
            sources=tuple(copier.sources),
            destination=destination_path(stage.folder, instruction.destination.text),
            owner=copier.owner,
            mode=copier.mode,
            exclude=instruction.exclude,
            link=instruction.link and not copier.mode,  # as BuildKit: with --chmod it is a copy like any other
        ),
        tuple(copier.inputs),
        title=stage.title(instruction.source),
        place=instruction.place,
        uncached=stage.uncached,
    )
    stage.commit(copier.history(), layer=True)


class _Copier:
    """Gathers the sources of one COPY or ADD."""

    def __init__(self, stage: StageState, instruction: Copy | Add, graph: VertexList) -> None:
        assert stage.vertex is not None
        self.instruction = instruction
        self.is_add = isinstance(instruction, Add)
        self.owner = instruction.chown.text if instruction.chown else ""
        self.mode = instruction.chmod.text if instruction.chmod else ""
        if self.mode:
            parse_mode(self.mode)
        self.inputs = [stage.vertex]
        self.sources: list[CopySource] = []
        self._graph = graph
        self._from = self._origin(stage)
        self._checksum = instruction.checksum.text if isinstance(instruction, Add) and instruction.checksum else ""
        if self._checksum:
            if len(instruction.sources) != 1:
                raise DockerfileError("checksum can't be specified for multiple sources")
            source = instruction.sources[0].text
            if not _is_http(source) and parse_git(source) is None:
                raise DockerfileError("checksum requires HTTP(S) or Git sources")
            if _is_http(source):
                _check_checksum(self._checksum)

    def _origin(self, stage: StageState) -> int | None:
        taken = stage.sources.get(source_key(self.instruction))
        if isinstance(self.instruction, Copy) and self.instruction.from_ and taken:
            source = taken[0]
            assert source is not None
            if not source.dispatched or source.vertex is None:
                raise DockerfileError(
                    f'cannot copy from stage "{self.instruction.from_}", '
                    f'it needs to be defined before current stage "{stage.label}"'
                )
            return source.vertex
        return None

    def take(self, vertex: int, path: str, **options: object) -> None:
        if vertex not in self.inputs[1:]:
            self.inputs.append(vertex)
        at = self.inputs.index(vertex, 1)
        self.sources.append(CopySource(input=at, path=path, **options))  # type: ignore[arg-type] # its own fields

    def add(self, source: str) -> None:
        git = parse_git(source)
        if git is not None:
            if not self.is_add:
                raise DockerfileError("source can't be a git ref for COPY", hint="use ADD")
            self._add_git(source)
        elif _is_http(source):
            if not self.is_add:
                raise DockerfileError("source can't be a URL for COPY", hint="use ADD")
            name = posixpath.basename(posixpath.normpath(urlsplit(source).path)) or "__unnamed__"
            name = "__unnamed__" if name in (".", "/") else name
            vertex = self._graph.add(
                Download(url=source, name=name, checksum=self._checksum), title=f"download {source}", step=False
            )
            unpack = bool(self.instruction.unpack) if isinstance(self.instruction, Add) else False
            self.take(vertex, f"/{name}", wildcards=False, contents_only=False, unpack=unpack)
        else:
            self._add_path(source)

    def _add_git(self, source: str) -> None:
        git = parse_git(source)
        assert git is not None
        keep = self.instruction.keep_git_dir if isinstance(self.instruction, Add) else None
        if keep is not None and git.keep_git is not None and keep != git.keep_git:
            raise DockerfileError("inconsistent keep-git-dir configuration")
        if self._checksum and git.checksum and self._checksum != git.checksum:
            raise DockerfileError(f'checksum mismatch "{self._checksum}" != "{git.checksum}"')
        vertex = self._graph.add(
            GitFiles(
                remote=git.remote,
                reference=git.reference,
                subfolder=git.subfolder,
                checksum=git.checksum or self._checksum,
                keep_git=bool(git.keep_git if git.keep_git is not None else keep),
            ),
            title=f"clone {source}",
            step=False,
        )
        self.take(vertex, "/", wildcards=False)

    def _add_path(self, source: str) -> None:
        vertex = self._from
        if vertex is None:
            vertex = self._graph.shared("context", ContextFiles(), "load build context")
        unpack = self.is_add
        if isinstance(self.instruction, Add) and self.instruction.unpack is not None:
            unpack = self.instruction.unpack
        include: tuple[str, ...] = ()
        required = ""
        if isinstance(self.instruction, Copy) and self.instruction.parents:
            parent, pivot, pattern = source.partition("/./")
            if not pivot:
                parent, pattern = "/", source
            pattern = joined("/", pattern).lstrip("/")
            if not has_wildcard(parent) and not has_wildcard(pattern):
                required = pattern
            include, source = (pattern,), parent or "/"
        self.take(vertex, joined("/", source), include=include, required=required, unpack=unpack)

    def history(self) -> str:
        words = ["ADD" if self.is_add else "COPY"]
        if isinstance(self.instruction, Copy) and self.instruction.parents:
            words.append("--parents")
        if self.owner:
            words.append(f"--chown={self.owner}")
        if self.mode:
            words.append(f"--chmod={self.mode}")
        words += [word.text for word in self.instruction.sources]
        words += [f"<<{file.name}" for file in self.instruction.files]
        words += [self.instruction.destination.text, "# buildkit"]
        return " ".join(words)


def _check_checksum(text: str) -> None:
    algorithm, _, digits = text.partition(":")
    hint = "write sha256: and 64 hexadecimal digits"
    if not re.fullmatch("[a-f0-9]+", digits):
        raise DockerfileError(f"invalid checksum digest format: {text}", hint=hint)
    if algorithm not in _CHECKSUM_DIGITS:
        raise DockerfileError(f"unsupported digest algorithm: {text}", hint=hint)
    if len(digits) != _CHECKSUM_DIGITS[algorithm]:
        raise DockerfileError(f"invalid checksum digest length: {text}", hint=hint)


def _is_http(source: str) -> bool:
    return source.startswith(("http://", "https://")) and parse_git(source) is None
