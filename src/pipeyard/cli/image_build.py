"""`pipeyard image build`: one Dockerfile to one image, pushed, stored or written to a file."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeyard.cli.build_contexts import Context, opened_context
from pipeyard.cli.build_options import PROGRESS
from pipeyard.cli.build_outputs import Output, parse_output
from pipeyard.cli.fields import fields_of, refuse_unknown, truth
from pipeyard.cli.start import become_builder, environment, pairs, settings_from, stopped_by_signals, working_folder
from pipeyard.errors import InputError, PipeyardError

if TYPE_CHECKING:
    from pipeyard.image.build import BuildRequest, Built, Provenance, Publication, Secret, SshAgent
    from pipeyard.oci import Platform
    from pipeyard.service.images import Images
    from pipeyard.threads import StopSignal


def build(options: dict[str, Any]) -> int:
    """Carries the command out; `options` are those of `build_options`, and `context`."""
    from pipeyard.cli.build_caches import cache_targets
    from pipeyard.cli.terminal import observer_for
    from pipeyard.service.images import open_images

    if options["check_only"] or options["call"] == "check":
        return _check(options)
    become_builder()
    settings = settings_from(
        registry_mirrors=pairs(options["mirrors"], "--registry-mirror") or None,
        insecure_registries=options["insecure"] or None,
    )
    outputs = [parse_output(text) for text in options["outputs"]]
    mode = "quiet" if options["quiet"] else PROGRESS[options["progress"]]
    with (
        open_images(settings, environment()) as images,
        stopped_by_signals() as stop,
        observer_for(mode) as observe,
        ExitStack() as held,
    ):
        context = held.enter_context(opened_context(options["context"], working_folder(), settings.home, stop))
        request = _request(options, context, outputs)
        publications = _publications(images, options, outputs, stop)
        publications += cache_targets(images, options["caches_to"], working_folder(), stop)
        try:
            origin = images.origin(stop, observe, pull=True) if truth("--pull", options["pull"] or "false") else None
            built = images.build(request, publications, observe, stop, origin=origin)
            if outputs:
                from pipeyard.cli.build_outputs import write_outputs

                write_outputs(outputs, built, options["tags"], working_folder())
        finally:
            for publication in publications:
                publication.destination.close()
    _tell(options, outputs, built)
    return 0


def _request(options: dict[str, Any], context: Context, outputs: Sequence[Output] = ()) -> "BuildRequest":
    from pipeyard.cli.build_caches import cache_source, is_inline
    from pipeyard.cli.build_limits import limits_of
    from pipeyard.image.build import BuildRequest, ContextOrigin

    folder = working_folder()
    text = context.text
    dockerfile: Path | None = None
    if options["dockerfile"] == "-":
        text = sys.stdin.buffer.read()
    elif options["dockerfile"]:
        # As buildx: from here for a folder that is here, else from the context.
        is_here = context.folder is not None and context.folder == folder / options["context"]
        dockerfile = (folder if is_here or context.folder is None else context.folder) / options["dockerfile"]
    arguments = _values(options["arguments"])
    epoch = arguments.get("SOURCE_DATE_EPOCH", environment().get("SOURCE_DATE_EPOCH", ""))
    seconds = int(epoch) if epoch.isdigit() else None
    contexts = {
        name: value if "://" in value or value.startswith(("git@", "target:")) else str(folder / value)
        for name, value in pairs(options["contexts"], "--build-context").items()
    }
    attests = dict(_attest(text) for text in options["attests"])
    return BuildRequest(
        context=context.folder,
        context_origin=ContextOrigin(context.origin, context.digest) if context.digest else None,
        dockerfile=dockerfile,
        dockerfile_text=text,
        target=options["target"],
        arguments=arguments,
        labels=pairs(options["labels"], "--label"),
        annotations=pairs(options["annotations"], "--annotation")
        | dict(annotation for output in outputs for annotation in output.annotations),
        contexts=contexts,
        platforms=_platforms(options["platforms"]),
        secrets=dict(_secret(text, folder) for text in options["secrets"]),
        ssh=_ssh(options["ssh"]),
        epoch_s=seconds if seconds is not None else context.committed_s or 0,
        files_epoch_s=seconds or 0,
        compression=_compression(outputs) or options["compression"],
        network=options["network"],
        add_hosts=dict(_host(text) for text in options["hosts"]),
        insecure="security.insecure" in _allowed(options["allow"]),
        limits=limits_of(options["memory"], options["shm_size"], options["ulimits"]),
        host_network=options["network"] == "host" or "network.host" in _allowed(options["allow"]),
        cache_from=tuple(cache_source(text, folder) for text in options["caches_from"]),
        inline_cache=any(is_inline(text) for text in options["caches_to"]),
        no_cache=options["no_cache"],
        no_cache_filter=options["no_cache_filter"],
        provenance=_provenance(options["provenance"] or attests.get("provenance", "")),
        sbom=_asked("--sbom", options["sbom"] or attests.get("sbom", "false")),
    )


def _allowed(texts: tuple[str, ...]) -> frozenset[str]:
    """What `--allow` grants; `--network=host` grants the network as well. Raises InputError."""
    found = frozenset(part.strip() for text in texts for part in text.split(","))
    if unknown := found - {"security.insecure", "network.host"}:
        raise InputError(
            f"--allow {sorted(unknown)[0]!r} is unknown", hint="known are security.insecure and network.host"
        )
    return found


def _compression(outputs: Sequence[Output]) -> Literal["gzip", "zstd"] | None:
    return next((output.compression for output in outputs if output.compression), None)


def _attest(text: str) -> tuple[str, str]:
    """`type=sbom` or `type=provenance`, and the rest as the option of that name has it. Raises InputError."""
    fields = dict(fields_of(text, "--attest"))
    kind = fields.pop("type", "")
    if kind not in ("sbom", "provenance"):
        raise InputError(f"--attest {text!r} has no known type", hint="known are sbom and provenance")
    if truth("disabled", fields.pop("disabled", "false")):
        return kind, "false"
    return kind, ",".join(f"{key}={value}" for key, value in fields.items()) or "true"


def _asked(option: str, text: str) -> bool:
    """True, false, or the generator that buildx would run for it: here, there is one. Raises InputError."""
    fields = dict(fields_of(text, option))
    if "generator" in fields:
        raise InputError(f"{option} {text!r} names a generator", hint="packages are found without one")
    return truth(option, text)


def _provenance(text: str) -> "Provenance | None":
    """`true`, `false`, or buildx's `mode=min|max,builder-id=URL,reproducible=true`. Raises InputError."""
    from pipeyard.image.build import Provenance

    fields = dict(part.partition("=")[::2] for part in text.split(",") if part)
    if not fields or (len(fields) == 1 and "=" not in text and not truth("--provenance", text)):
        return None
    mode = fields.pop("mode", "max")
    builder = fields.pop("builder-id", "")
    reproducible = truth("--provenance", fields.pop("reproducible", "false"))
    unknown = [name for name, value in fields.items() if value or not truth("--provenance", name)]
    if unknown or mode not in ("min", "max"):
        raise InputError(
            f"--provenance {text!r} is not understood", hint="write mode=min or mode=max, with builder-id=URL"
        )
    return Provenance(mode="min" if mode == "min" else "max", builder_id=builder, reproducible=reproducible)


def _values(texts: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE`; a name alone takes its value from the environment, and is left out when it is not there."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise InputError(f"--build-arg {text!r} has no name", hint="write NAME=VALUE")
        if equals:
            found[name] = value
        elif name in environment():
            found[name] = environment()[name]
    return found


def _platforms(texts: tuple[str, ...]) -> "tuple[Platform, ...]":
    from pipeyard.oci import parse_platform

    return tuple(dict.fromkeys(parse_platform(part) for text in texts for part in text.split(",") if part.strip()))


def _secret(text: str, folder: Path) -> "tuple[str, Secret]":
    from pipeyard.image.build import Secret

    fields = dict(fields_of(text, "--secret"))
    refuse_unknown(fields, ("id", "src", "source", "env", "type"), "--secret")
    name = fields.get("id", "")
    source = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env", "")
    if fields.get("type") == "env" and source:
        variable, source = source, ""
    if not name:
        raise InputError(f"--secret {text!r} has no id", hint="write id=ID,src=FILE or id=ID,env=NAME")
    if source:
        path = folder / source
        if not path.is_file():
            raise InputError(f"the secret {name} is in {source}, which is no file")
        return name, Secret(path=path)
    value = environment().get(variable or name)
    if value is None:
        raise InputError(f"the secret {name} is not in the environment", hint="write id=ID,src=FILE or id=ID,env=NAME")
    return name, Secret(value=value.encode("utf-8", "surrogateescape"))


def _ssh(texts: tuple[str, ...]) -> "dict[str, SshAgent]":
    """`ID`, `ID=SOCKET[,raw=true]` or `ID=KEYFILE,KEYFILE`. Raises InputError."""
    if not texts:
        return {}
    from pipeyard.image.build import SshAgent
    from pipeyard.image.build.sshagent import load_keys

    found: dict[str, SshAgent] = {}
    for text in texts:
        name, _, given = text.partition("=")
        name = name or "default"
        parts = [part for part in given.split(",") if part]
        raw = [part.removeprefix("raw=") for part in parts if part.startswith("raw=")]
        paths = [part for part in parts if not part.startswith("raw=")] or [environment().get("SSH_AUTH_SOCK", "")]
        if not paths[0]:
            raise InputError(f"--ssh {name}: there is no agent", hint="start one, or write ID=SOCKET or ID=KEYFILE")
        if name in found:
            raise InputError(f"--ssh {name} was given twice", hint="several keys of one id: ID=KEYFILE,KEYFILE")
        found[name] = SshAgent(
            tuple(working_folder() / Path(path).expanduser() for path in paths),
            raw=any(truth("--ssh", value) for value in raw),
        )
    for agent in found.values():
        load_keys(agent)  # what is wrong with them is told before anything runs
    return found


def _host(text: str) -> tuple[str, str]:
    """Docker's `host-gateway` is this machine: a RUN shares its network. Raises InputError."""
    import ipaddress

    name, separator, address = text.partition("=" if "=" in text else ":")
    address = "127.0.0.1" if address == "host-gateway" else address.removeprefix("[").removesuffix("]")
    try:
        if separator and name:
            return name, str(ipaddress.ip_address(address))
    except ValueError:
        pass
    raise InputError(f"--add-host {text!r} is not of the form NAME:ADDRESS", hint="such as db:10.0.0.7")


def _publications(
    images: "Images", options: dict[str, Any], outputs: list[Output], stop: "StopSignal"
) -> "list[Publication]":
    """A repository for each name with --push; the embedded registry when nothing else receives the image."""
    from pipeyard.image.build import Publication
    from pipeyard.registry.embedded import StoreDestination
    from pipeyard.registry.exchange import Destination
    from pipeyard.registry.reference import Reference, parse_place

    names: dict[Reference, list[str]] = {}
    by_digest = any(output.by_digest for output in outputs)
    for text in (*options["tags"], *(name for output in outputs if output.stores for name in output.names)):
        found = parse_place(text)
        names.setdefault(Reference(found.host, found.repository), []).append(found.tag)
    push = options["push"] or any(output.push for output in outputs)
    load = options["load"] or any(output.stores and not output.push for output in outputs)
    if outputs and not push and not load:
        return []
    if push and not names:
        raise InputError("--push needs a name", hint="give one with -t")
    found_publications: list[Publication] = []
    for reference, named in names.items():
        tags = () if by_digest else tuple(named)
        destinations: list[Destination] = []
        remote = push and reference.host and reference.host != images.own_host
        if remote:
            destinations.append(images.registries.destination(reference, stop, lambda report: None, "push"))
        if load or not remote:
            destinations.append(StoreDestination(images.store, reference.repository))
        found_publications += [Publication(destination=destination, tags=tags) for destination in destinations]
    return found_publications


def _tell(options: dict[str, Any], outputs: Sequence[Output], built: "Built") -> None:
    """The files that were asked for, and the result in words: on stdout, unless the image itself went there."""
    to_stderr = any(output.dest == "-" and output.writes_files for output in outputs)
    if options["iidfile"] or options["metadata_file"]:
        from pipeyard.cli.build_results import write_id, write_metadata

        if options["iidfile"]:
            write_id(built, working_folder() / options["iidfile"])
        if options["metadata_file"]:
            names = [*options["tags"], *(name for output in outputs for name in output.names)]
            write_metadata(built, names, working_folder() / options["metadata_file"])
    for published in () if options["quiet"] else built.published:  # as Docker's: ID=$(... -q .)
        for reference in published.references:
            _print(reference, to_stderr=to_stderr)
    _print(built.digest, to_stderr=to_stderr)


def _print(line: str, *, to_stderr: bool = False) -> None:
    (sys.stderr if to_stderr else sys.stdout).write(f"{line}\n")


def _check(options: dict[str, Any]) -> int:
    from pipeyard.cli.complaints import show_error, show_problems
    from pipeyard.image.build.checking import check
    from pipeyard.service.images import open_images
    from pipeyard.threads import StopSignal

    settings = settings_from(
        registry_mirrors=pairs(options["mirrors"], "--registry-mirror") or None,
        insecure_registries=options["insecure"] or None,
    )
    try:
        with (
            opened_context(options["context"], working_folder(), settings.home, StopSignal()) as context,
            ExitStack() as held,
        ):
            request = _request(options, context)
            problems = check(request, lambda: held.enter_context(open_images(settings, environment())).origin())
    except PipeyardError as error:
        show_error(error)
        return error.exit_code
    show_problems(problems)
    if not problems:
        _print("Check complete, no warnings found.")
    return 1 if problems else 0
