"""From a Dockerfile to an image, over a real store, cache and sandbox."""

import os
import threading
from pathlib import Path

import pytest

from pipeyard.errors import BuildFailed, DockerfileError, InputError, Stopped
from pipeyard.image.build import BuildParts, BuildRequest, Limits, Secret, build_image
from pipeyard.image.sandbox import open_sandbox
from pipeyard.oci import parse_platform
from pipeyard.registry.embedded import StoreOrigin
from pipeyard.threads import StopSignal
from tests.image.build.conftest import Yard, content_of, entries_of, files_of


def test_files_land_where_the_dockerfile_says(yard: Yard) -> None:
    built = yard.build("FROM scratch\nCOPY a.txt b.txt /x/\nCOPY a.txt /y\n", {"a.txt": "a", "b.txt": "b"})
    assert [entry.path for entry in entries_of(built, 0)] == ["x", "x/a.txt", "x/b.txt"]
    assert content_of(built, "y") == b"a"


def test_the_configuration_and_history_are_those_of_buildkit(yard: Yard) -> None:
    built = yard.build(
        "FROM scratch\nARG V=1\nENV A=$V B=2\nLABEL l=x\nWORKDIR /w\nEXPOSE 80-81/udp\nVOLUME /v\n"
        'HEALTHCHECK --interval=90s CMD x\nCMD ["a", "b"]\nCOPY f .\n',
        {"f": "f"},
    )
    config = built.platforms[0].config
    assert config.config is not None
    assert config.config.env == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=2"]
    assert config.config.exposed_ports == {"80/udp": {}, "81/udp": {}}
    assert config.config.working_dir == "/w"
    assert [(entry.created_by, entry.empty_layer) for entry in config.history] == [
        ("ARG V=1", True),
        ("ENV A=1 B=2", True),
        ("LABEL l=x", True),
        ("WORKDIR /w", False),
        ("EXPOSE [80/udp 81/udp]", True),
        ("VOLUME [/v]", True),
        (
            "HEALTHCHECK {Test:[CMD-SHELL x] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            True,
        ),
        ('CMD ["a" "b"]', True),
        ("COPY f . # buildkit", False),
    ]
    assert {entry.comment for entry in config.history} == {"buildkit.dockerfile.v0"}


def test_a_command_sees_the_files_and_leaves_its_changes(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nCOPY f /f\nRUN cat /f > /g && rm /f\n", {"f": "hello"})
    layer = {entry.path: entry for entry in entries_of(built)}
    assert layer["g"].content == b"hello"
    assert ".wh.f" in layer


def test_the_environment_the_user_and_the_working_folder_of_a_command(yard: Yard, busybox: str) -> None:
    built = yard.build(
        f"FROM {busybox}\nENV A=1\nWORKDIR /w\nUSER app\nRUN --mount=type=tmpfs,target=/t "
        "echo $A $ORIGIN $HOME $PWD $(id -u) $(id -G) > /tmp/o\n"
    )
    groups = b"1000 2001" if os.geteuid() == 0 else b"1000"  # with one id there are no supplementary groups
    assert content_of(built, "tmp/o") == b"1 base /home/app /w 1000 " + groups + b"\n"


def test_what_nothing_changed_about_is_not_done_again(yard: Yard, busybox: str) -> None:
    dockerfile = f"FROM {busybox}\nRUN echo one > /one\nCOPY src /src\nRUN ls /src > /list\n"
    first = yard.build(dockerfile, {"src/a": "a"})
    second = yard.build(dockerfile)
    assert (second.digest, second.cached_steps, yard.carried_out[1:]) == (first.digest, 3, [])
    third = yard.build(dockerfile, {"src/b": "b"})
    assert yard.carried_out[1:] == ["COPY src /src", "RUN ls /src > /list"]
    assert content_of(third, "list") == b"a\nb\n"


def test_a_change_back_is_found_in_the_cache(yard: Yard) -> None:
    first = yard.build("FROM scratch\nCOPY f /\n", {"f": "one"})
    yard.build("FROM scratch\nCOPY f /\n", {"f": "two!"})
    again = yard.build("FROM scratch\nCOPY f /\n", {"f": "one"})
    assert (again.digest, again.cached_steps) == (first.digest, 1)


def test_the_time_of_a_file_and_its_owner_do_not_matter_but_its_mode_does(yard: Yard) -> None:
    yard.write({"f": "same"})
    first = yard.build("FROM scratch\nCOPY f /\n")
    os.utime(yard.context / "f", (1_500_000_000, 1_500_000_000))
    assert yard.build("FROM scratch\nCOPY f /\n").digest == first.digest
    (yard.context / "f").chmod(0o755)
    assert yard.build("FROM scratch\nCOPY f /\n").digest != first.digest


def test_two_homes_give_one_digest(tmp_path: Path) -> None:
    digests = set()
    for name, threads in (("one", 1), ("two", 4)):
        (tmp_path / name).mkdir()
        yard = Yard(tmp_path / name)
        built = yard.build(
            "FROM scratch\nCOPY . /\n",
            {f"folder/{number}": str(number) * 2000 for number in range(300)},
            parts={"threads": threads},
        )
        digests.add(built.digest)
    assert len(digests) == 1


def test_a_commit_time_changes_the_image_and_not_its_layers(yard: Yard) -> None:
    first = yard.build("FROM scratch\nCOPY f /\n", {"f": "f"}, epoch_s=1_700_000_000)
    second = yard.build("FROM scratch\nCOPY f /\n", epoch_s=1_700_000_001)
    assert first.platforms[0].config.created == "2023-11-14T22:13:20Z"
    assert first.digest != second.digest
    assert first.platforms[0].manifest.layers == second.platforms[0].manifest.layers


def test_source_date_epoch_sets_the_times_of_files_too(yard: Yard) -> None:
    arguments = {"SOURCE_DATE_EPOCH": "1500000000"}
    built = yard.build("FROM scratch\nCOPY f /\n", {"f": "f"}, arguments=arguments)
    assert files_of(built)["f"].mtime_ns == 1_500_000_000 * 10**9
    assert built.platforms[0].config.created == "2017-07-14T02:40:00Z"


def test_only_what_the_target_needs_is_built(yard: Yard, busybox: str) -> None:
    dockerfile = f"FROM {busybox} AS broken\nRUN false\nFROM scratch AS good\nCOPY f /\nFROM broken\nRUN false\n"
    built = yard.build(dockerfile, {"f": "f"}, target="good")
    assert list(files_of(built)) == ["f"]
    assert yard.sandboxes == 0


def test_files_of_a_stage_come_with_their_modes_and_owners(yard: Yard, busybox: str) -> None:
    built = yard.build(
        f"FROM {busybox} AS made\nUSER app\nRUN mkdir -p -m 700 /tmp/d/e && echo x > /tmp/d/e/f\n"
        "FROM scratch\nCOPY --from=made /tmp/d /d\n"
    )
    found = files_of(built)
    assert (found["d/e"].mode, found["d/e"].uid, found["d/e/f"].gid) == (0o700, 1000, 1000)
    assert (found["d"].mode, found["d"].uid) == (0o755, 0)  # the destination itself is made, not copied


def test_a_stage_that_comes_out_the_same_does_not_rebuild_what_copies_from_it(yard: Yard, busybox: str) -> None:
    dockerfile = (
        f"FROM {busybox} AS made\nCOPY src /src\nRUN mkdir /out && echo constant > /out/f\n"
        f"FROM {busybox}\nCOPY --from=made /out /out\nRUN echo later > /later\n"
    )
    first = yard.build(dockerfile, {"src/a": "1"})
    second = yard.build(dockerfile, {"src/a": "2!"})
    assert second.digest == first.digest
    assert not any("later" in title for title in yard.carried_out)


def test_triggers_of_the_base_run_first_and_are_gone(yard: Yard, busybox: str) -> None:
    built = yard.build("FROM example.com/onbuild\nRUN test -e /triggered && echo yes > /seen\n")
    assert content_of(built, "seen") == b"yes\n"
    assert built.platforms[0].config.config is not None
    assert not built.platforms[0].config.config.on_build


def test_a_failing_command_is_told_with_place_status_and_output(yard: Yard, busybox: str) -> None:
    with pytest.raises(BuildFailed, match="did not complete successfully: exit code: 3") as failure:
        yard.build(f"FROM {busybox}\nRUN echo to the log; exit 3\n", tags=("latest",))
    assert failure.value.place is not None
    assert (failure.value.place.line, failure.value.exit_status) == (2, 3)
    assert failure.value.output == "to the log\n"
    with pytest.raises(InputError, match="no image for"):
        yard.build("FROM example.com/app\n")


def test_nothing_is_published_when_a_step_fails(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="not found"):
        yard.build("FROM scratch\nCOPY a /\nCOPY missing /\n", {"a": "a"}, tags=("latest",))
    assert yard.store.catalog.manifest("app", "latest") is None


@pytest.mark.parametrize(
    ("dockerfile", "line", "complaint"),
    [
        ("FROM scratch\nCOPY --chmod=999 a /\n", 2, "invalid chmod parameter"),
        ("FROM scratch\nEXPOSE 99999\n", 2, "invalid containerPort"),
        ("FROM scratch\nSTOPSIGNAL 0\n", 2, "invalid signal"),
        ("FROM scratch AS a\nCOPY --from=b /x /x\nFROM scratch AS b\nCOPY --from=a /x /x\n", 0, "circular dependency"),
        ("FROM scratch\nCOPY --from=3 /x /x\n", 2, "invalid stage index 3"),
        ("ARG X\nFROM $X\n", 2, "base name"),
        ('FROM scratch\nVOLUME [""]\n', 2, "VOLUME"),
        ("FROM Scratch\n", 1, "invalid reference format"),
    ],
)
def test_a_wrong_dockerfile_is_told_with_its_place(yard: Yard, dockerfile: str, line: int, complaint: str) -> None:
    with pytest.raises(DockerfileError, match=complaint) as failure:
        yard.build(dockerfile, {"a": "a"})
    assert failure.value.place is not None
    assert line in (0, failure.value.place.line)


def test_secrets_are_seen_by_their_command_only(yard: Yard, busybox: str) -> None:
    built = yard.build(
        f"FROM {busybox}\nRUN --mount=type=secret,id=k --mount=type=secret,id=e,env=E test $E = two && "
        "test $(cat /run/secrets/k) = one && echo ok > /ok\nRUN ls /run > /left || true\n",
        secrets={"k": Secret(value=b"one"), "e": Secret(value=b"two")},
    )
    assert content_of(built, "ok") == b"ok\n"
    assert b"secrets" not in content_of(built, "left")


def test_a_required_secret_that_is_missing_fails_the_step(yard: Yard, busybox: str) -> None:
    with pytest.raises(BuildFailed, match="secret k: not found"):
        yard.build(f"FROM {busybox}\nRUN --mount=type=secret,id=k,required true\n")


def test_a_cache_mount_keeps_its_files_and_is_in_no_layer(yard: Yard, busybox: str) -> None:
    mount = "RUN --mount=type=cache,target=/c"
    yard.build(f"FROM {busybox}\n{mount} echo kept > /c/f\n")
    built = yard.build(f"FROM {busybox}\n{mount} cat /c/f > /seen\n")
    assert content_of(built, "seen") == b"kept\n"
    assert not any(path.startswith("c/") for path in files_of(built))


def test_a_new_cache_has_the_permissions_that_were_asked_for_and_no_special_bits(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nRUN --mount=type=cache,target=/c,mode=1770 ls -ld /c > /o\n")
    assert content_of(built, "o").startswith(b"drwxrwx--- ")


def test_a_bind_mount_shows_the_context_without_what_is_ignored(yard: Yard, busybox: str) -> None:
    built = yard.build(
        f"FROM {busybox}\nRUN --mount=target=/ctx ls /ctx > /seen\n",
        {"a": "a", "secret.pem": "s", ".dockerignore": "*.pem\n.dockerignore\n"},
    )
    assert content_of(built, "seen") == b"a\n"


def test_a_limit_on_time_ends_a_command(yard: Yard, busybox: str) -> None:
    with pytest.raises(BuildFailed, match="it took longer than its limit allows"):
        yard.build(f"FROM {busybox}\nRUN sleep 60\n", limits=Limits(time_s=0.3))


def test_a_stop_ends_a_running_command(yard: Yard, busybox: str) -> None:
    from pipeyard.progress import StepOutput

    stop = StopSignal()
    request = BuildRequest(dockerfile_text=f"FROM {busybox}\nRUN echo started; sleep 60\n".encode())

    def observe(report: object) -> None:
        if isinstance(report, StepOutput):
            threading.Thread(target=stop.stop, args=("enough",)).start()

    with pytest.raises(Stopped, match="enough"):
        build_image(
            request,
            BuildParts(
                store=yard.store,
                cache=yard.cache,
                origin=StoreOrigin(yard.store),
                sandbox=open_sandbox,
                observe=observe,
                stop=stop,
            ),
        )


def test_a_stop_before_a_step_begins_ends_the_build(yard: Yard, busybox: str) -> None:
    """A thread of the builder was about to take the step up; nobody may wait for a step that never began."""
    from pipeyard.progress import StepEnded

    stop = StopSignal()

    def observe(report: object) -> None:
        if isinstance(report, StepEnded):  # of FROM
            stop.stop("enough")

    with pytest.raises(Stopped, match="enough"):
        build_image(
            BuildRequest(dockerfile_text=f"FROM {busybox}\nRUN sleep 60\n".encode()),
            BuildParts(
                store=yard.store,
                cache=yard.cache,
                origin=StoreOrigin(yard.store),
                sandbox=open_sandbox,
                observe=observe,
                stop=stop,
            ),
        )


def test_a_copy_needs_no_sandbox_and_no_folder(yard: Yard, busybox: str) -> None:
    before = len(list((yard.cache / "folders").iterdir()))
    yard.build(f"FROM {busybox}\nCOPY f /app/f\nWORKDIR /app\n", {"f": "f"})
    assert len(list((yard.cache / "folders").iterdir())) == before


def test_links_of_the_image_are_followed_at_the_destination(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nCOPY f /srv/link/\n", {"f": "f"})
    layer = {entry.path: entry for entry in entries_of(built)}
    assert list(layer) == ["srv", "srv/data", "srv/data/f"]
    assert layer["srv/data"].mode == 0o750  # as it is below


def test_folders_that_an_octal_mode_makes_have_no_special_bits(yard: Yard) -> None:
    built = yard.build("FROM scratch\nCOPY --chmod=4755 f /o/\n", {"f": "f"})
    assert [(entry.path, entry.mode) for entry in entries_of(built)] == [("o", 0o755), ("o/f", 0o4755)]


@pytest.mark.parametrize("path", ["link/f", "nowhere"])
def test_parents_are_not_looked_for_behind_links(yard: Yard, path: str) -> None:
    yard.write({"folder/f": "f"})
    (yard.context / "link").symlink_to("folder")
    (yard.context / "nowhere").symlink_to("absent")
    with pytest.raises(BuildFailed, match=f'"/{path}": not found'):
        yard.build(f"FROM scratch\nCOPY --parents {path} /o/\n")


def test_a_path_that_parents_names_and_exclude_leaves_out_is_missed(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match='"/folder/f": not found'):
        yard.build("FROM scratch\nCOPY --parents --exclude=folder/* folder/f /o/\n", {"folder/f": "f", "folder/g": ""})
    built = yard.build("FROM scratch\nCOPY --parents --exclude=folder/* --exclude=!folder/f folder /o/\n")
    assert [entry.path for entry in entries_of(built)] == ["o", "o/folder", "o/folder/f"]


def test_the_group_of_an_owner_with_nothing_behind_its_colon_is_roots(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nCOPY --chown=app: f /f\nCOPY --chown=app f /g\n", {"f": "f"})
    found = files_of(built)
    assert [(found[name].uid, found[name].gid) for name in "fg"] == [(1000, 0), (1000, 1000)]


def test_a_linked_copy_has_no_names_to_look_up(yard: Yard, busybox: str) -> None:
    with pytest.raises(BuildFailed, match="invalid user 'app'"):
        yard.build(f"FROM {busybox}\nCOPY --link --chown=app f /\n", {"f": "f"})


def test_a_command_leaves_the_folders_that_a_container_needs(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox} AS b\nFROM scratch\nCOPY --from=b /bin /bin\nRUN echo > /o\n")
    made = {entry.path: (entry.kind, entry.mode) for entry in entries_of(built)}
    assert {path: made[path] for path in ("dev", "proc", "sys")} == dict.fromkeys(
        ("dev", "proc", "sys"), ("dir", 0o755)
    )


def test_a_command_knows_its_working_folder_without_links(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nWORKDIR /srv/link/new\nRUN echo $PWD > /o\n")
    assert content_of(built, "o") == b"/srv/data/new\n"


def test_a_bind_mount_follows_the_link_that_it_names(yard: Yard, busybox: str) -> None:
    yard.write({"folder/f": "f"})
    (yard.context / "link").symlink_to("folder")
    built = yard.build(f"FROM {busybox}\nRUN --mount=source=link,target=/m cat /m/f > /o\n")
    assert content_of(built, "o") == b"f"


def test_a_command_that_gets_a_secret_is_not_the_one_that_had_none(yard: Yard, busybox: str) -> None:
    command = "RUN --mount=type=secret,id=s{} cat /run/secrets/s > /o || echo none > /o\n"
    secrets = {"s": Secret(value=b"known")}
    assert content_of(yard.build(f"FROM {busybox}\n" + command.format("")), "o") == b"none\n"
    built = yard.build(f"FROM {busybox}\n" + command.format(",required"), secrets=secrets)
    assert content_of(built, "o") == b"known"


def test_a_tmpfs_can_be_read_only(yard: Yard, busybox: str) -> None:
    with pytest.raises(BuildFailed):
        yard.build(f"FROM {busybox}\nRUN --mount=type=tmpfs,target=/m,ro echo > /m/x\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="one id cannot run as others")
@pytest.mark.parametrize(("user", "ids"), [(":extra", b"0 2001"), ("app:extra:more", b"1000 2001"), ("5:6:7", b"5 6")])
def test_a_user_may_be_left_out_and_has_no_third_part(yard: Yard, busybox: str, user: str, ids: bytes) -> None:
    built = yard.build(f"FROM {busybox}\nUSER {user}\nRUN echo $(id -u) $(id -g) > /tmp/o\n")
    assert content_of(built, "tmp/o") == ids + b"\n"


@pytest.mark.parametrize("user", ["4294967296", "2147483648", "0:4294967296"])
def test_a_number_beyond_all_users_is_nobody(yard: Yard, busybox: str, user: str) -> None:
    with pytest.raises(BuildFailed, match="uids and gids must be in range 0-2147483647"):
        yard.build(f"FROM {busybox}\nUSER {user}\nRUN id\n")


def test_names_are_looked_up_in_the_image(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nCOPY --chown=app:extra f /f\n", {"f": "f"})
    assert (files_of(built)["f"].uid, files_of(built)["f"].gid) == (1000, 2001)


def test_an_index_holds_an_image_for_each_platform(yard: Yard) -> None:
    platforms = (parse_platform("linux/amd64"), parse_platform("linux/arm64"))
    built = yard.build(
        "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /which\n",
        {"amd64": "x86", "arm64": "arm"},
        platforms=platforms,
        tags=("multi",),
    )
    assert [str(one.platform) for one in built.platforms] == ["linux/amd64", "linux/arm64"]
    assert built.root.media_type.endswith("image.index.v1+json")
    assert built.published[0].digest == built.digest


def test_named_contexts_take_the_place_of_stages_and_images(yard: Yard, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").write_text("other")
    built = yard.build(
        "FROM scratch AS files\nCOPY missing /\nFROM scratch\nCOPY --from=files f /f\n",
        contexts={"files": str(other)},
    )
    assert content_of(built, "f") == b"other"


def test_a_stage_with_a_name_can_be_built_on_a_named_context(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "f").write_text("f")
    text = "FROM ctx AS own\nCOPY g /g\nFROM own\nLABEL a=b\n"
    built = yard.build(text, {"g": "g"}, contexts={"ctx": str(tmp_path / "named")})
    assert (content_of(built, "f"), content_of(built, "g")) == (b"f", b"g")


def test_bytes_that_are_not_utf8_reach_the_configuration_as_replacements(yard: Yard) -> None:
    built = yard.build("FROM scratch\nLABEL a=\udce9\n")
    assert b'"a":"\xef\xbf\xbd"' in built.platforms[0].config_data


def test_a_heredoc_named_like_a_path_lies_where_it_is_copied(yard: Yard) -> None:
    built = yard.build("FROM scratch\nCOPY <<../up /x/\na\n../up\nCOPY <</abs /x/\nb\n/abs\n")
    assert (content_of(built, "x/up"), content_of(built, "x/abs")) == (b"a\n", b"b\n")


def test_no_cache_does_everything_again_and_a_filter_one_stage(yard: Yard, busybox: str) -> None:
    dockerfile = f"FROM {busybox} AS one\nRUN echo 1 > /1\nFROM one AS two\nRUN echo 2 > /2\n"
    yard.build(dockerfile)
    yard.build(dockerfile, no_cache=True)
    assert len([title for title in yard.carried_out if title.startswith("RUN")]) == 2
    yard.build(dockerfile, no_cache_filter=("two",))
    assert [title for title in yard.carried_out if title.startswith("RUN")] == ["RUN echo 2 > /2"]


def test_what_was_built_can_be_the_base_of_the_next_build(yard: Yard) -> None:
    yard.build("FROM scratch\nENV A=1\nCOPY f /one\n", {"f": "f"}, name="first", tags=("1",))
    built = yard.build("FROM example.com/first:1\nCOPY f /two\n")
    assert list(files_of(built)) == ["one", "two"]
    config = built.platforms[0].config
    assert config.config is not None
    assert config.config.env is not None
    assert "A=1" in config.config.env
    assert len(config.rootfs.diff_ids) == 2
