"""What a RUN can rely on, in every sandbox."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeyard.errors import Stopped
from pipeyard.image.layers import form_of_this_process
from pipeyard.image.sandbox import Bind, FileMount, HostBind, Limits, SandboxError, Tmpfs
from pipeyard.threads import StopSignal
from tests.image.sandbox.conftest import Machine


def test_output_of_both_kinds_comes_in_order_and_the_status_is_the_commands(machine: Machine) -> None:
    ran = machine.run("echo one; echo two >&2; echo three; exit 42")
    assert (ran.text, ran.exit.status, ran.exit.signal) == ("one\ntwo\nthree\n", 42, 0)


def test_output_arrives_while_the_command_runs(machine: Machine) -> None:
    signal = StopSignal()
    with pytest.raises(Stopped):
        machine.run("echo ready; sleep 1000", stop=signal, output=lambda data: signal.stop("saw it"))


def test_a_death_by_signal_is_told(machine: Machine) -> None:
    ran = machine.run("sh -c 'kill -9 $$'; exit $?")
    assert (ran.exit.status, ran.exit.signal) == (137, signal.SIGKILL)


def test_a_program_that_is_not_there_is_127(machine: Machine) -> None:
    assert machine.run(("nothing",)).exit.status == 127
    assert machine.run(("/etc/passwd",)).exit.status == 126


def test_programs_are_found_in_the_commands_own_path(machine: Machine) -> None:
    assert machine.run(("echo", "a b", "$HOME"), environment={"PATH": "/nowhere:/bin"}).text == "a b $HOME\n"


def test_the_environment_is_exactly_the_given_one(machine: Machine) -> None:
    ran = machine.run(("/bin/env",), environment={"A": "1 2", "PATH": "/bin", "B": "=\udcff"})
    assert {line for line in ran.text.splitlines() if not line.startswith("PWD=")} == {
        "A=1 2",
        "PATH=/bin",
        "B==\ufffd",
    }


def test_standard_input_is_empty_or_given(machine: Machine) -> None:
    assert machine.run("cat; echo end").text == "end\n"
    assert machine.run("cat; echo end", stdin=b"x" * 100_000).text == "x" * 100_000 + "end\n"


def test_the_working_folder_and_umask_are_as_asked(machine: Machine) -> None:
    old = os.umask(0o077)
    try:
        ran = machine.run("pwd; umask; touch f; ls -l f", folder="/srv/data")
    finally:
        os.umask(old)
    assert ran.text.startswith("/srv/data\n0022\n-rw-r--r--")


def test_only_changes_are_in_the_layer(machine: Machine) -> None:
    assert machine.run("true").changes == []
    assert machine.run("cat /srv/data/a; ls -la / /etc").changes == []
    ran = machine.run("echo x >> /srv/data/a; mkdir -p /new/folder; rm /srv/data/b; chmod 700 /home/app")
    assert ran.paths == ["home/app", "new", "new/folder", "srv/data/.wh.b", "srv/data/a"]


def test_a_folder_deleted_and_made_again_hides_its_old_content(machine: Machine) -> None:
    ran = machine.run("rm -r /srv/data && mkdir /srv/data && echo n > /srv/data/n")
    assert ran.paths == ["srv/data/.wh.a", "srv/data/.wh.b", "srv/data/n"] or ran.paths == [
        "srv/data", "srv/data/.wh.a", "srv/data/.wh.b", "srv/data/n",
    ]  # fmt: skip
    assert machine.run("ls /srv/data", above=(ran.upper,)).text == "n\n"


def test_files_become_folders_and_folders_become_files(machine: Machine) -> None:
    one = machine.run("rm /srv/data/a && mkdir /srv/data/a && echo in > /srv/data/a/in")
    assert one.paths == ["srv/data/a", "srv/data/a/in"]
    two = machine.run("rm -r /srv/data && echo file > /srv/data", above=(one.upper,))
    assert two.paths == ["srv/data"]
    assert machine.run("cat /srv/data", above=(one.upper, two.upper)).text == "file\n"


def test_hard_links_fifos_and_symlinks_survive_and_sockets_do_not(machine: Machine) -> None:
    ran = machine.run("echo x > /l1; ln /l1 /l2; mkfifo /p; ln -s nowhere /s; (nc -l -U /sock & sleep 0.1) 2>/dev/null")
    kinds = {entry.path: (entry.kind, entry.link) for entry in ran.changes}
    assert kinds == {"l1": ("file", ""), "l2": ("hardlink", "l1"), "p": ("fifo", ""), "s": ("symlink", "nowhere")}


def test_a_change_that_hides_its_time_is_found(machine: Machine) -> None:
    ran = machine.run("cp -p /srv/data/a /tmp/t; printf 'b\\n' > /srv/data/a; touch -r /tmp/t /srv/data/a; rm /tmp/t")
    assert ran.paths == ["srv/data/a"]


def test_lower_layers_are_never_written_to(machine: Machine) -> None:
    before = {path: path.lstat().st_mtime_ns for path in machine.base.rglob("*")}
    machine.run("echo x >> /srv/data/a; rm -rf /bin /etc; mkdir /etc; chmod 0 /srv")
    assert {path: path.lstat().st_mtime_ns for path in machine.base.rglob("*")} == before


def test_processes_left_behind_do_not_hold_up_the_run_and_die(machine: Machine, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    begin = time.monotonic()
    script = (
        "(setsid sh -c 'while :; do date > /shared/tick; done' &) ; until [ -s /shared/tick ]; do :; done; echo done"
    )
    ran = machine.run(script, mounts=(HostBind(target="/shared", source=shared, writable=True),))
    assert ran.text == "done\n"
    assert time.monotonic() - begin < 20
    (shared / "tick").unlink(missing_ok=True)
    time.sleep(0.05)
    assert not (shared / "tick").exists()


def test_a_stop_kills_the_command_wherever_it_is(machine: Machine) -> None:
    signal = StopSignal()
    threading.Timer(0.2, signal.stop, ("asked",)).start()
    begin = time.monotonic()
    with pytest.raises(Stopped, match="asked"):
        machine.run("trap '' TERM INT; while :; do sleep 1000; done", stop=signal)
    assert time.monotonic() - begin < 10


def test_time_memory_and_processes_are_limited(machine: Machine) -> None:
    assert machine.run("sleep 1000", limits=Limits(seconds=0.2)).exit.limit == "seconds"
    hog = machine.run("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done", limits=Limits(memory=64 << 20, seconds=60))
    assert hog.exit.limit == "memory"
    bomb = machine.run(
        "for i in 1 2 3 4 5 6 7 8 9 0; do sleep 1000 & done; wait", limits=Limits(processes=5, seconds=60)
    )
    assert bomb.exit.limit == "processes" or "resource" in bomb.text.lower()


def test_files_given_for_the_run_are_there_and_leave_no_trace(machine: Machine) -> None:
    mounts = (
        FileMount(target="/etc/hosts", data=b"127.0.0.1 localhost\n"),
        FileMount(target="/etc/passwd", data=b"replaced\n"),
        FileMount(target="/run/secrets/token", data=b"s3cret", mode=0o400),
        Tmpfs(target="/var/cache/big", size=1 << 20),
    )
    ran = machine.run(
        "cat /etc/hosts /etc/passwd /run/secrets/token; ls -l /run/secrets; echo x > /var/cache/big/file", mounts=mounts
    )
    assert ran.text.startswith("127.0.0.1 localhost\nreplaced\ns3cret")
    assert "-r--------" in ran.text
    assert ran.changes == []
    assert machine.run("cat /etc/passwd", above=(ran.upper,)).text.startswith("root:")
    assert machine.run("ls /run /var /etc/hosts", above=(ran.upper,)).exit.status != 0


def test_mount_points_that_got_content_stay(machine: Machine) -> None:
    ran = machine.run("mkdir -p /run/x; echo kept > /run/x/f", mounts=(FileMount(target="/run/secrets/t", data=b"t"),))
    assert ran.paths == ["run", "run/x", "run/x/f"]


def test_a_cache_mount_keeps_what_is_written(machine: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    mounts = (HostBind(target="/root/.cache", source=cache, writable=True),)
    assert machine.run("echo one > /root/.cache/f", mounts=mounts).changes == []
    assert machine.run("cat /root/.cache/f", mounts=mounts).text == "one\n"


def test_part_of_another_tree_is_seen_and_never_changed(machine: Machine, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "src/inner").mkdir(parents=True)
    (tree / "src/f").write_text("content")
    mounts = (
        Bind(target="/ro", lowers=(tree,), source="src"),
        Bind(target="/rw", lowers=(tree,), source="/src", access="discard"),
        Bind(target="/one", lowers=(tree,), source="src/f", access="discard"),
    )
    ran = machine.run("cat /ro/f /rw/f /one; echo x > /rw/f; echo x > /rw/new; cat /rw/f; echo y > /one", mounts=mounts)
    assert ran.text == "contentcontentcontentx\n"
    assert ran.changes == []
    assert (tree / "src/f").read_text() == "content"
    assert not (tree / "src/new").exists()
    with pytest.raises(SandboxError, match="does not exist"):
        machine.run("true", mounts=(Bind(target="/ro", lowers=(tree,), source="missing"),))


def test_links_in_a_mounted_tree_cannot_show_this_machine(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("of the host")
    tree = tmp_path / "tree"
    (tree / "inside").mkdir(parents=True)
    (tree / "out").symlink_to(tmp_path / "host")
    (tree / "up").symlink_to("../host")
    for source in ("out", "up", "../host", "out/secret"):
        with pytest.raises(SandboxError, match="does not exist"):
            machine.run("cat /m/secret", mounts=(Bind(target="/m", lowers=(tree,), source=source),))


def test_mount_targets_follow_the_images_links_within_the_image(machine: Machine, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    links = machine.run(
        f"mkdir /var; ln -s /run /var/run; ln -s {trap} /trap; ln -s /oldroot{trap} /old; ln -s ../../../.. /up"
    )
    mounts = (
        FileMount(target="/var/run/token", data=b"1"),
        FileMount(target="/trap/token", data=b"2"),
        FileMount(target="/old/token", data=b"3"),
        FileMount(target="/up/token", data=b"4"),
    )
    ran = machine.run("cat /run/token /trap/token /old/token /token", above=(links.upper,), mounts=mounts)
    assert ran.text == "1234"
    assert list(trap.iterdir()) == []
    assert ran.changes == []


def test_root_gets_the_groups_of_its_command_and_we_keep_ours(machine: Machine) -> None:
    before = os.getgroups(), os.getgid()
    ran = machine.run("id; touch /tmp/mine", uid=0, gid=2345, groups=(5, 77))
    assert "uid=0" in ran.text
    if form_of_this_process().powers != "single":
        assert "gid=2345 " in ran.text
        assert "groups=5,77" in ran.text
        assert [(one.uid, one.gid) for one in ran.changes if one.path == "tmp/mine"] == [(0, 2345)]
    assert (os.getgroups(), os.getgid()) == before
    assert "groups=0" in machine.run("id", groups=(0,)).text


def test_a_run_leaves_nothing_beside_its_changes(machine: Machine) -> None:
    ran = machine.run("mkdir /srv/data/c && mv /srv/data/a /srv/data/c && sync && rm /srv/data/b")
    assert ran.exit.status == 0
    assert list((ran.upper.parent / "work").iterdir()) == []


def test_it_is_told_when_the_command_has_begun(machine: Machine) -> None:
    order: list[str] = []
    ran = machine.run("echo said", output=lambda data: order.append("said"), begun=lambda: order.append("begun"))
    assert ran.exit.status == 0
    assert order == ["begun", "said"]


@pytest.mark.usefixtures("many_ids")
def test_a_user_with_groups_runs_as_itself_and_owns_its_files(machine: Machine) -> None:
    ran = machine.run("id; touch /tmp/mine; touch /etc/not || echo denied", uid=1234, gid=2345, groups=(5, 77))
    assert "uid=1234 gid=2345 groups=5,77" in ran.text
    assert "denied" in ran.text
    assert [(entry.path, entry.uid, entry.gid) for entry in ran.changes] == [("tmp/mine", 1234, 2345)]


def test_a_user_of_a_single_id_owns_what_it_makes(machine: Machine) -> None:
    if form_of_this_process().powers != "single":
        pytest.skip("needs a process with one id")
    ran = machine.run("touch /tmp/mine; echo x >> /srv/data/a", uid=1234, gid=2345)
    owners = {entry.path: (entry.uid, entry.gid) for entry in ran.changes}
    assert owners == {"tmp/mine": (1234, 2345), "srv/data/a": (0, 0)}


@pytest.mark.usefixtures("many_ids")
def test_root_may_change_owners_and_modes(machine: Machine) -> None:
    ran = machine.run("touch /f; chown 12:34 /f; chmod 4755 /f; mkdir -m 1777 /d")
    found = {entry.path: (entry.uid, entry.gid, oct(entry.mode)) for entry in ran.changes}
    assert found == {"f": (12, 34, "0o4755"), "d": (0, 0, "0o1777")}


def test_names_of_any_bytes_go_through(machine: Machine) -> None:
    ran = machine.run("touch \"$(printf 'caf\\351')\"; touch 'a\nb'; mkdir -p " + "/".join(["n" * 200] * 5))
    assert "caf\udce9" in ran.paths
    assert "a\nb" in ran.paths
    assert "/".join(["n" * 200] * 5) in ran.paths


def test_a_hundred_and_thirty_layers_stack(machine: Machine, tmp_path: Path) -> None:
    layers = []
    for number in range(130):
        layer = tmp_path / "layers-with-a-rather-long-name" / f"{number:064d}"
        (layer / "l").mkdir(parents=True)
        (layer / f"l/{number:03d}").write_text(str(number))
        layers.append(layer)
    ran = machine.run("ls /l | wc -l; cat /l/000 /l/129", above=tuple(layers))
    assert ran.text.split() == ["130", "0129"]


def test_the_same_layer_may_come_twice(machine: Machine, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for layer, text in ((one, "1"), (two, "2")):
        layer.mkdir()
        (layer / "f").write_text(text)
    assert machine.run("cat /f", above=(one, two, one)).text == "1"


def test_an_image_of_nothing_can_be_set_up(machine: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = Machine(machine.sandbox, empty, tmp_path / "other")
    assert nothing.run(("/bin/sh",)).exit.status == 127
