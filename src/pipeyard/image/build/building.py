"""From a request to a published image: plan, carry out, assemble the documents, publish."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import structs

from pipeyard.errors import InputError
from pipeyard.image.build.cache import BuildCache
from pipeyard.image.build.checking import report_findings
from pipeyard.image.build.documents import (
    finished_config,
    index_of,
    manifest_of,
    platform_field,
    split_annotations,
)
from pipeyard.image.build.folders import BaseLayers
from pipeyard.image.build.graph import Graph
from pipeyard.image.build.layerstate import FileSystem
from pipeyard.image.build.layouts import HOST as LAYOUT_HOST
from pipeyard.image.build.layouts import WithLayouts, layout_reference
from pipeyard.image.build.plan import plan
from pipeyard.image.build.postponed import Postponed
from pipeyard.image.build.request import BuildParts, BuildRequest, Built, BuiltLayer, BuiltPlatform, Publication
from pipeyard.image.build.requested import context_folders, read_dockerfile, wishes_of
from pipeyard.image.build.solving import Solver
from pipeyard.image.build.sources import Sources, read_ignore
from pipeyard.image.build.steps import StepTools
from pipeyard.image.dockerfile.ignore import IgnoreMatcher
from pipeyard.image.dockerfile.instructions import Dockerfile
from pipeyard.image.layers import GZIP, ZSTD, Layer, form_of_this_process
from pipeyard.oci import Descriptor, Platform, digest_of, encode, media_types
from pipeyard.oci.platforms import native
from pipeyard.registry.exchange import Document, Offer, Published, ResolvedImage
from pipeyard.registry.followed import FollowedStore
from pipeyard.registry.growing import GrowingBlob
from pipeyard.registry.reference import parse_reference
from pipeyard.threads import Crew, StopSignal, crew

if TYPE_CHECKING:
    from pipeyard.image.build.running import Runner
    from pipeyard.image.build.sharing import SharedLayer


def build_image(request: BuildRequest, parts: BuildParts) -> Built:
    """Builds the image of every requested platform and publishes it; nothing is published unless all of it worked.

    Raises DockerfileError for a wrong Dockerfile, BuildFailed for an instruction that failed (both placed), InputError
    for a request that cannot be met, RegistryError from origin and destinations, Stopped when `parts.stop` was asked
    for. Safe to call from several threads and processes over the same cache and store.
    """
    file, ignore_file = read_dockerfile(request)
    cache = BuildCache(parts.cache, form_of_this_process().powers)
    with ExitStack() as held:
        held.enter_context(cache.lease())
        folders = context_folders(request)
        ignore = read_ignore(ignore_file) if ignore_file is not None else None
        sources = Sources(
            context=request.context,
            contexts=folders,
            ignore=ignore,
            cache=parts.cache,
            clone=parts.clone,
            stop=parts.stop,
        )
        held.callback(sources.close)
        build = _Build(request, parts, cache, sources, file, ignore)
        built = build.run()
    if parts.cache_limit:
        _prune(parts)
    return built


def _prune(parts: BuildParts) -> None:
    """Now and then: looking at everything costs more than a small build."""
    cache = BuildCache(parts.cache)
    if cache.is_due(parts.now_s()):
        with cache.lease():
            cache.prune(parts.cache_limit)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""  # it was read before; somebody has taken it away


def _from(data: bytes, start: int) -> BinaryIO:
    return BytesIO(data[start:])


class _Build:
    """One call of build_image."""

    def __init__(
        self,
        request: BuildRequest,
        parts: BuildParts,
        cache: BuildCache,
        sources: Sources,
        file: Dockerfile,
        ignore: IgnoreMatcher | None,
    ) -> None:
        self._ignore = ignore
        self._request = request
        self._parts = parts
        self._cache = cache
        self._sources = sources
        self._file = file
        self._steps = 0
        self._cached = 0
        self._started_s = parts.now_s()
        self._invoked = ""
        self._images: dict[tuple[str, Platform], ResolvedImage] = {}
        self._origin = WithLayouts(parts.origin)
        self._solvers: list[Solver] = []

    def run(self) -> Built:
        wanted: tuple[Platform | None, ...] = self._request.platforms or (None,)
        graphs = [plan(self._file, wishes_of(self._request, platform), self._resolve) for platform in wanted]
        report_findings(
            self._file, self._request, images=self._images, ignore=self._ignore, observe=self._parts.observe
        )
        stop = StopSignal(self._parts.stop)
        try:
            with crew("pack", max(2, self._parts.threads), stop) as packers:
                with crew("step", max(2, self._parts.threads), stop) as workers:
                    systems = [self._solve(graph, at, workers, packers) for at, graph in enumerate(graphs)]
                packers.start(self._sources.save)  # while layers are packed and sent
                platforms = [self._assemble(graph, system) for graph, system in zip(graphs, systems, strict=True)]
        finally:
            stop.detach()
        built = self._publish([self._attested(one, graph) for one, graph in zip(platforms, graphs, strict=True)])
        self._export()
        return built

    def _images_to(self) -> list[Publication]:
        return [one for one in self._parts.publications if not one.cache]

    def _export(self) -> None:
        for one in self._parts.publications:
            if not one.cache:
                continue
            from pipeyard.image.build.sharing import export_cache

            for solver in self._solvers:
                export_cache(solver.exported(), solver.platform, one.destination, one.tags)

    def _resolve(self, text: str, platform: Platform) -> ResolvedImage:
        key = (text, platform)
        if key not in self._images:
            if text.startswith("oci-layout://"):
                reference = layout_reference(text.removeprefix("oci-layout://"), Path("/"))
            else:
                reference = parse_reference(text)
            self._images[key] = self._origin.resolve(reference, platform)
        return self._images[key]

    def _epoch(self, graph: Graph) -> int:
        return self._request.epoch_s if graph.epoch_s is None else graph.epoch_s

    def _solve(self, graph: Graph, at: int, workers: Crew, packers: Crew) -> FileSystem:
        request, parts = self._request, self._parts
        files_epoch = request.files_epoch_s if graph.epoch_s is None else graph.epoch_s
        compression = ZSTD if request.compression == "zstd" else GZIP
        later = Postponed(packers)

        def make_runner() -> "Runner":
            from pipeyard.image.build.running import Runner, RunSettings

            settings = RunSettings(
                secrets=request.secrets, ssh=request.ssh, limits=request.limits, insecure=request.insecure
            )
            return Runner(parts.sandbox, parts.cache, settings, parts.observe, packers.stop, later.release)

        tools = StepTools(
            store=parts.store,
            cache=self._cache,
            compression=compression,
            epoch_s=files_epoch,
            make_runner=make_runner,
            threads=parts.threads,
            stop=packers.stop,
        )
        solver = Solver(
            graph,
            tools=tools,
            cache=self._cache,
            base_layers=BaseLayers(parts.store, self._origin, self._cache, parts.observe, packers.stop),
            sources=self._sources,
            settings=(files_epoch, compression.kind),
            observe=parts.observe,
            prefix=f"{graph.platform}:" if len(request.platforms) > 1 else "",
            packers=packers,
            later=later,
            outgoing=FollowedStore(parts.store, self._follow),
            offer=self._offer,
            shared=self._shared(graph),
            pack_all=any(one.cache == "max" for one in parts.publications),
        )
        self._solvers.append(solver)
        system = solver.solve(workers, max(2, parts.threads))
        self._steps += solver.steps
        self._cached += solver.cached
        return system

    def _shared(self, graph: Graph) -> "Mapping[str, SharedLayer]":
        if not self._request.cache_from:
            return {}
        from pipeyard.image.build.sharing import import_caches

        return import_caches(self._request.cache_from, graph.platform, self._origin, self._parts.observe)

    def _offer(
        self,
        layer: Layer,
        image: ResolvedImage | None,
        opener: Callable[[int], AbstractContextManager[BinaryIO]],
        is_new: bool,
    ) -> None:
        remote = image is not None and image.reference.host != LAYOUT_HOST
        mounts = (structs.replace(image.reference, tag="", digest=None),) if image is not None and remote else ()
        for publication in self._images_to():
            publication.destination.offer(Offer(descriptor=layer.blob, open=opener, mount_from=mounts, is_new=is_new))

    def _follow(self, blob: GrowingBlob) -> None:
        for publication in self._images_to():
            publication.destination.follow(blob)

    # ------------------------------------------------------------ the image

    def _assemble(self, graph: Graph, system: FileSystem) -> BuiltPlatform:
        layers: list[tuple[Layer, str]] = []
        built = []
        for state in system.layers:
            assert state.blob is not None
            layer = state.blob.result()
            assert state.open is not None
            layers.append((layer, state.name))
            built.append(BuiltLayer(descriptor=layer.blob, diff_id=layer.diff_id, open=state.open))
        config = finished_config(graph, layers, self._epoch(graph))
        config_data = encode(config)
        annotations, _ = split_annotations(self._request.annotations)
        if self._request.inline_cache:
            steps = [(state.key, at, layers[at][0]) for at, state in enumerate(system.layers) if state.key]
            from pipeyard.image.build.sharing import annotation_of

            annotations |= annotation_of(steps)
        manifest, data = manifest_of(config_data, [layer for layer, _ in layers], annotations)
        with self._parts.store.writer() as writer:
            writer.write(config_data)
            stored = writer.commit(media_types.OCI_CONFIG)
        offer = Offer(
            descriptor=manifest.config,
            open=lambda start: self._parts.store.read(stored.digest, start),
            is_new=self._cached < self._steps,
        )
        for publication in self._images_to():
            publication.destination.offer(offer)
        descriptor = Descriptor(
            media_type=media_types.OCI_MANIFEST,
            digest=digest_of(data),
            size=len(data),
            platform=platform_field(graph.platform),
        )
        return BuiltPlatform(
            platform=graph.platform,
            descriptor=descriptor,
            manifest=manifest,
            manifest_data=data,
            config=config,
            config_data=config_data,
            layers=tuple(built),
        )

    def _attested(self, image: BuiltPlatform, graph: Graph) -> BuiltPlatform:
        request, parts = self._request, self._parts
        if not request.sbom and request.provenance is None:
            return image
        from pipeyard.image.build.attestations import PROVENANCE, SPDX, Predicate, attested
        from pipeyard.image.build.provenance import Circumstances, provenance

        predicates = []
        if request.sbom:
            if parts.bill is None:
                raise InputError("images cannot be scanned here", hint="build without an SBOM")
            predicates.append(Predicate(SPDX, parts.bill(image)))
        if request.provenance is not None:
            # Who fixes the time wants equal bytes of equal builds.
            fixed = self._epoch(graph) != 0
            known = Circumstances(
                dockerfile=Path(self._file.file).name,
                dockerfile_text=request.dockerfile_text or _content(Path(self._file.file)),
                builder=native(),
                invocation=self._invocation(image, fixed=fixed),
                fetched=self._sources.digest,
                started_s=0 if fixed else self._started_s,
                finished_s=0 if fixed else parts.now_s(),
            )
            predicates.append(Predicate(PROVENANCE, provenance(request, request.provenance, graph, image, known)))
        attestation = attested(image.descriptor, predicates)
        for publication in self._images_to():
            for descriptor, data in attestation.blobs:
                publication.destination.offer(Offer(descriptor=descriptor, open=partial(_from, data)))
        return structs.replace(image, attestation=attestation)

    def _invocation(self, image: BuiltPlatform, *, fixed: bool) -> str:
        """Of this build, whatever the platform."""
        if not self._invoked:
            started = 0 if fixed else self._started_s
            self._invoked = digest_of(f"{started} {image.descriptor.digest}".encode()).partition(":")[2][:32]
        return self._invoked

    def _publish(self, platforms: list[BuiltPlatform]) -> Built:
        _, annotations = split_annotations(self._request.annotations)
        documents = [Document(media_type=one.descriptor.media_type, data=one.manifest_data) for one in platforms]
        attestations = [one.attestation for one in platforms if one.attestation is not None]
        documents += [Document(media_type=one.descriptor.media_type, data=one.data) for one in attestations]
        if len(platforms) == 1 and not attestations:
            root = structs.replace(platforms[0].descriptor, platform=None)
            data = platforms[0].manifest_data
        else:
            members = [*(one.descriptor for one in platforms), *(one.descriptor for one in attestations)]
            data = index_of(members, annotations)
            root = Descriptor(media_type=media_types.OCI_INDEX, digest=digest_of(data), size=len(data))
            documents.append(Document(media_type=root.media_type, data=data))
        published: list[Published] = []
        for publication in self._images_to():
            self._parts.stop.check()
            published.append(publication.destination.publish(documents, publication.tags))
        return Built(
            root=root,
            root_data=data,
            platforms=tuple(platforms),
            published=tuple(published),
            steps=self._steps,
            cached_steps=self._cached,
        )
