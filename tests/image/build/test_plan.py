"""The plan of a Dockerfile, without registry, disk or clock."""

import pytest

from pipeyard.errors import DockerfileError, InputError
from pipeyard.image.build.graph import BaseImage, CopyFiles, Graph, MakeFolder, RunCommand
from pipeyard.image.build.keys import step_key
from pipeyard.image.build.plan import Wishes, plan
from pipeyard.image.dockerfile.parser import parse
from pipeyard.oci import Descriptor, ImageConfig, ImageManifest, Platform, RootFs, RuntimeConfig, digest_of
from pipeyard.oci.platforms import parse_platform
from pipeyard.registry.exchange import ResolvedImage
from pipeyard.registry.reference import parse_reference

AMD64 = Platform("linux", "amd64")


class Registry:
    """Images by name, and which of them were asked for."""

    def __init__(self, **runtimes: RuntimeConfig) -> None:
        self.runtimes = runtimes
        self.asked: list[tuple[str, str]] = []

    def __call__(self, text: str, platform: Platform) -> ResolvedImage:
        self.asked.append((text, str(platform)))
        if text not in self.runtimes:
            raise InputError(f"there is no image {text}")
        blob = Descriptor(media_type="layer", digest=digest_of(text.encode()), size=1)
        return ResolvedImage(
            reference=parse_reference(text),
            root=blob,
            descriptor=blob,
            manifest=ImageManifest(schema_version=2, config=blob, layers=[blob]),
            config=ImageConfig(
                architecture=platform.architecture,
                os=platform.os,
                rootfs=RootFs(diff_ids=[blob.digest]),
                config=self.runtimes[text],
            ),
        )


def planned(text: str, registry: Registry | None = None, **wishes: object) -> Graph:
    options = {"build_platform": AMD64, **wishes}
    return plan(
        parse(text.encode(), "Dockerfile"),
        Wishes(**options),  # type: ignore[arg-type] # the fields of Wishes
        registry or Registry(),
    )


def commands(graph: Graph) -> list[RunCommand]:
    return [vertex.operation for vertex in graph.vertices if isinstance(vertex.operation, RunCommand)]


def runtime(graph: Graph) -> RuntimeConfig:
    assert graph.config.config is not None
    return graph.config.config


def test_only_bases_that_the_target_needs_are_looked_up() -> None:
    registry = Registry(needed=RuntimeConfig())
    planned("FROM unneeded AS a\nFROM needed AS b\nRUN x\nFROM missing\n", registry, target="b")
    assert registry.asked == [("needed", "linux/amd64")]


def test_what_no_instruction_takes_from_is_not_in_the_graph() -> None:
    graph = planned("FROM scratch AS a\nCOPY one /\nFROM scratch AS b\nCOPY two /\nFROM a\nCOPY three /\n")
    paths = [v.operation.sources[0].path for v in graph.vertices if isinstance(v.operation, CopyFiles)]
    assert paths == ["/one", "/three"]


def test_the_environment_of_the_base_comes_first() -> None:
    registry = Registry(base=RuntimeConfig(env=["A=base", "PATH=/bin"], working_dir="/w", user="app"))
    graph = planned("FROM base\nENV B=$A A=new\nRUN x\n", registry)
    (run,) = commands(graph)
    assert dict(run.environment) == {"A": "new", "PATH": "/bin", "B": "base"}
    assert (run.folder, run.user) == ("/w", "app")
    assert runtime(graph).env == ["A=new", "PATH=/bin", "B=base"]


@pytest.mark.parametrize(
    ("text", "arguments", "value"),
    [
        ("ARG A=global\nFROM scratch\nRUN $A\n", {}, None),
        ("ARG A=global\nFROM scratch\nARG A\nRUN $A\n", {}, "global"),
        ("ARG A=global\nFROM scratch\nARG A=own\nRUN $A\n", {}, "own"),
        ("FROM scratch\nARG A=own\nRUN $A\n", {"A": "given"}, "given"),
        ("FROM scratch\nRUN $A\n", {"A": "given"}, None),
        ("FROM scratch\nARG A=1\nARG A=${A}2\nRUN $A\n", {}, "12"),
        ("FROM scratch AS p\nARG A=own\nFROM p\nRUN $A\n", {}, "own"),
        ("FROM scratch\nARG TARGETARCH\nRUN x\n", {}, None),
    ],
)
def test_arguments_are_seen_where_they_were_declared(text: str, arguments: dict[str, str], value: str | None) -> None:
    (run,) = commands(planned(text, arguments=arguments))
    assert dict(run.environment).get("A") == value


def test_the_platform_arguments_tell_target_and_builder() -> None:
    text = "FROM scratch\nARG TARGETPLATFORM BUILDPLATFORM TARGETVARIANT\nRUN x\n"
    (run,) = commands(planned(text, platform=parse_platform("linux/arm/v6")))
    seen = dict(run.environment)
    assert seen["TARGETPLATFORM"] == "linux/arm/v6"
    assert seen["BUILDPLATFORM"] == "linux/amd64"


def test_proxies_reach_a_command_and_no_key() -> None:
    text = "FROM scratch\nRUN x\n"
    with_proxy = planned(text, arguments={"HTTP_PROXY": "http://proxy.example.com"})
    vertex = with_proxy.vertices[with_proxy.target]
    assert dict(vertex.proxy)["http_proxy"] == "http://proxy.example.com"
    keys = {step_key(commands(graph)[0], ["below"], ()) for graph in (with_proxy, planned(text))}
    assert len(keys) == 1


def test_a_command_with_another_mount_is_another_command() -> None:
    mounts = ("", "secret,id=a", "secret,id=b", "secret,id=a,required", "ssh", "tmpfs,target=/t")
    flags = [f"--mount=type={mount}" if mount else "" for mount in mounts]
    keys = {step_key(commands(planned(f"FROM scratch\nRUN {one} x\n"))[0], ["below"], ()) for one in flags}
    assert len(keys) == len(mounts)


def test_a_working_folder_is_made_once_it_is_known() -> None:
    graph = planned("FROM scratch\nWORKDIR a\nWORKDIR ../b\nWORKDIR /\nCOPY f c/\n")
    made = [v.operation.path for v in graph.vertices if isinstance(v.operation, MakeFolder)]
    copies = [v.operation.destination for v in graph.vertices if isinstance(v.operation, CopyFiles)]
    assert (made, copies, runtime(graph).working_dir) == (["/a", "/b"], ["/c/"], "/")


@pytest.mark.parametrize(
    ("written", "told", "made"),
    [("/w/", "/w/", "/w"), ("/w/../v", "/w/../v", "/v"), ("w/", "/base/w", "/base/w"), ("''", "/base/", "/base")],
)
def test_an_absolute_working_folder_is_told_as_it_was_written(written: str, told: str, made: str) -> None:
    graph = planned(f"FROM base\nWORKDIR {written}\n", Registry(base=RuntimeConfig(working_dir="/base/")))
    folder = graph.vertices[graph.target].operation
    assert isinstance(folder, MakeFolder)
    assert (runtime(graph).working_dir, folder.path) == (told, made)
    assert graph.config.history[-1].created_by == f"WORKDIR {told}"


def test_a_base_keeps_the_working_folder_that_it_has() -> None:
    graph = planned("FROM base\nRUN x\n", Registry(base=RuntimeConfig(working_dir="/app/")))
    assert (runtime(graph).working_dir, commands(graph)[0].folder) == ("/app/", "/app")


def test_a_mount_without_a_target_is_at_the_working_folder() -> None:
    (run,) = commands(planned("FROM scratch\nWORKDIR /w\nRUN --mount=type=cache x\n"))
    assert run.mounts[0].target == "/w"


def test_the_network_of_the_host_is_for_those_who_were_allowed_it() -> None:
    text = "FROM scratch\nRUN --network=host x\n"
    with pytest.raises(DockerfileError, match=r"network\.host is not allowed") as caught:
        planned(text)
    assert (str(caught.value.place), "--allow network.host" in caught.value.hint) == ("Dockerfile:2:1", True)
    assert commands(planned(text, host_network=True))[0].network == "host"


def test_an_entrypoint_forgets_the_command_of_the_base_and_not_its_own() -> None:
    registry = Registry(base=RuntimeConfig(cmd=["base"]))
    assert runtime(planned('FROM base\nENTRYPOINT ["e"]\n', registry)).cmd is None
    assert runtime(planned('FROM base\nCMD ["c"]\nENTRYPOINT ["e"]\n', registry)).cmd == ["c"]


def test_a_heredoc_is_a_script_or_a_shells_text() -> None:
    shell, script = commands(planned("FROM scratch\nRUN <<E\necho $A\nE\nRUN <<E\n#!/bin/py\nx\nE\n"))
    assert shell.arguments == ("/bin/sh", "-c", "echo $A\n")
    assert script.arguments == ("/bin/sh", "-c", "/dev/pipes/E")
    assert script.script == ("E", "#!/bin/py\nx\n")


def test_one_image_in_two_places_is_one_vertex() -> None:
    registry = Registry(base=RuntimeConfig())
    graph = planned("FROM base AS a\nRUN x\nFROM base\nCOPY --from=a /x /\n", registry)
    assert sum(isinstance(vertex.operation, BaseImage) for vertex in graph.vertices) == 1


def test_an_image_is_as_old_as_its_base_says_nothing_about() -> None:
    registry = Registry(base=RuntimeConfig(on_build=["ENV T=1"], labels={"l": "base"}))
    graph = planned("FROM base\nLABEL m=own\n", registry, labels={"n": "flag"})
    assert runtime(graph).labels == {"l": "base", "m": "own", "n": "flag"}
    assert runtime(graph).on_build is None
    assert runtime(graph).env is not None
    assert "T=1" in runtime(graph).env  # type: ignore[operator] # just asserted


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("ARG A=1\n", 0, "no stages"),
        ("FROM scratch AS a\nCOPY --from=b x /\nFROM scratch AS b\nFROM a\n", 2, "needs to be defined before"),
        ("FROM nothing\n", 1, "no image for linux/amd64"),
        ("FROM --platform=$NONE scratch\n", 1, "empty platform"),
        ("FROM scratch\nADD --checksum=sha256:00 f /\n", 2, "checksum requires"),
        ("FROM scratch\nCOPY https://example.com/f /\n", 2, "can't be a URL for COPY"),
        ("FROM scratch\nCOPY https://example.com/r.git /\n", 2, "can't be a git ref for COPY"),
        ("FROM scratch\nRUN --mount=type=tmpfs,target=/ x\n", 2, "invalid mount target"),
        ("FROM scratch\nRUN --mount=type=tmpfs x\n", 2, "invalid mount target"),
        ("FROM scratch\nRUN --device=gpu x\n", 2, "RUN --device"),
        ("FROM Unused\nFROM scratch\n", 1, "invalid reference format"),
        ("FROM --platform=linux/a~b scratch\n", 1, "failed to parse platform linux/a~b"),
        ("FROM scratch\nADD --checksum=sha256:00 http://example.com/f /\n", 2, "invalid checksum digest length"),
        ("FROM scratch\nADD --checksum=md5:00 http://example.com/f /\n", 2, "unsupported digest algorithm"),
        ("FROM scratch\nADD --checksum=sha256:XY http://example.com/f /\n", 2, "invalid checksum digest format"),
    ],
)
def test_what_cannot_be_planned_is_told_with_its_place(text: str, line: int, complaint: str) -> None:
    with pytest.raises((DockerfileError, InputError), match=complaint) as wrong:
        planned(text)
    assert wrong.value.place is not None
    assert line in (0, wrong.value.place.line)


def test_a_base_that_is_a_named_context_counts_and_has_no_number() -> None:
    graph = planned("FROM base\nCOPY f /f\n", contexts={"base": "/elsewhere"})
    assert graph.vertices[graph.target].title == "[1/2] COPY f /f"
