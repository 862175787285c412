"""What an untrusted RUN tries, and does not get."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pipeyard.image.layers import form_of_this_process
from pipeyard.image.sandbox import DEFAULT_PATH, FileMount, HostBind, seccomp
from pipeyard.image.sandbox.syscalls import ARCHITECTURES
from tests.image.sandbox.conftest import Machine


def refused(machine: Machine, script: str, **more: object) -> str:
    """Runs a script that must fail; gives what it printed."""
    ran = machine.run(f"{script} && echo ESCAPED", **more)  # type: ignore[arg-type]
    assert "ESCAPED" not in ran.text, ran.text
    assert ran.exit.status != 0
    return ran.text


@pytest.mark.parametrize(
    "script",
    [
        "mkdir /m && mount -t tmpfs none /m",
        "mkdir /m && mount -t proc proc /m",
        "mount -o remount,rw /proc/sys",
        "umount /proc",
        "umount -l /dev",
        "mount -o bind / /srv",
        "unshare -U true",
        "unshare -m true",
        "unshare -r -m true",
        "nsenter -t 1 -m true",
        "pivot_root . .",
        "swapoff -a",
        "hostname changed",
        "insmod /none.ko 2>&1 | grep -v 'not permitted' | grep -q x",
    ],
)
def test_mounts_namespaces_and_the_kernel_are_out_of_reach(machine: Machine, script: str) -> None:
    refused(machine, script)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
        "/sys/power/state",
    ],
)
def test_nothing_of_the_kernels_settings_can_be_written(isolated: Machine, path: str) -> None:
    refused(isolated, f"echo x 2>/dev/null > {path}")


def test_kernel_memory_and_keys_are_hidden(isolated: Machine) -> None:
    ran = isolated.run("cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | head -c 100")
    assert ran.text == ""
    assert isolated.run("ls /sys/firmware 2>/dev/null").text == ""


def test_a_device_node_that_was_made_cannot_be_opened(isolated: Machine) -> None:
    ran = isolated.run(
        "for place in /tmp/d /dev/d /dev/shm/d; do"
        "  mknod $place c 1 5 2>/dev/null; cat $place 2>/dev/null | head -c 1 | wc -c; done;"
        "mknod /tmp/disk b 254 0 2>/dev/null; dd if=/tmp/disk bs=1 count=1 2>/dev/null | wc -c"
    )
    assert ran.text.split()[-4:] == ["0", "0", "0", "0"], ran.text


def test_other_processes_are_neither_seen_nor_reached(isolated: Machine) -> None:
    ran = isolated.run("ls /proc | grep -E '^[0-9]+$' | wc -l; cat /proc/1/cmdline /proc/1/environ")
    assert int(ran.text.split()[0]) < 8
    assert os.fspath(isolated.folder) not in ran.text
    assert "site-packages" not in ran.text
    refused(isolated, f"kill -0 {os.getpid()}")


def test_the_environment_and_files_of_this_machine_stay_here(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-credential")
    (tmp_path / "credentials").write_text("hidden-credential")
    ran = machine.run(
        f"env; cat {tmp_path}/credentials /proc/*/environ; cat /proc/1/root{tmp_path}/credentials;"
        f"ls /oldroot /newroot; cat ../../../../../..{tmp_path}/credentials"
    )
    assert "hidden-credential" not in ran.text


def test_only_the_standard_files_are_open(machine: Machine) -> None:
    ran = machine.run("ls -l /proc/self/fd 2>/dev/null || echo no proc")
    if "no proc" not in ran.text:
        names = [line.split()[-3] for line in ran.text.splitlines() if " -> " in line]
        assert sorted(names) == ["0", "1", "2"], ran.text


def test_without_network_nothing_of_this_machine_answers(isolated: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        assert isolated.run(f"nc -w 1 127.0.0.1 {port} < /dev/null").exit.status == 0
        refused(isolated, f"nc -w 1 127.0.0.1 {port} < /dev/null", network="none")
        only = isolated.run("tail -n +3 /proc/net/dev | wc -l", network="none")
        assert only.text.strip() == "1"


def test_capabilities_are_dockers_without_raw_sockets_and_new_privileges_are_off(isolated: Machine) -> None:
    ran = isolated.run("grep -E 'CapEff|CapPrm|NoNewPrivs|Seccomp:' /proc/self/status")
    values = dict(line.split() for line in ran.text.splitlines())
    assert values["CapEff:"] == values["CapPrm:"] == "00000000a80405fb"  # Docker's a80425fb without CAP_NET_RAW
    assert (values["NoNewPrivs:"], values["Seccomp:"]) == ("1", "2")


@pytest.mark.usefixtures("many_ids")
def test_another_user_has_no_capabilities_and_gains_none(isolated: Machine) -> None:
    made = isolated.run("mkdir /opt; cp /bin/busybox /opt/id; chmod 4755 /opt/id")
    ran = isolated.run("grep CapEff /proc/self/status; /opt/id -u", uid=1000, gid=1000, above=(made.upper,))
    assert ran.text.split() == ["CapEff:", "0000000000000000", "1000"]


def test_insecure_has_all_capabilities_and_no_filter(isolated: Machine) -> None:
    ran = isolated.run("grep -E 'CapEff|Seccomp:' /proc/self/status; mkdir /m; mount -t tmpfs none /m && echo mounted")
    assert "mounted" not in ran.text
    ran = isolated.run(
        "grep -E 'Seccomp:' /proc/self/status; mkdir /m; mount -t tmpfs none /m && echo mounted", insecure=True
    )
    assert ran.text.split() == ["Seccomp:", "0", "mounted"]


def test_a_link_swapped_in_during_the_run_does_not_lead_the_clean_up_out(machine: Machine, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "token").touch()  # empty, as the stub of a mount point is
    ran = machine.run(
        f"mv /run /run2 2>/dev/null; rm -rf /run; ln -s {victim} /run; true",
        mounts=(FileMount(target="/run/secrets/../token", data=b"x"),),
    )
    assert (victim / "token").exists()
    assert [path for path in ran.paths if "victim" in path] == []


def test_secrets_are_not_on_the_disk_while_the_command_runs(isolated: Machine) -> None:
    found: list[str] = []

    def look(data: bytes) -> None:
        for folder, _, names in os.walk(isolated.folder):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and b"s3cret-token" in Path(path).read_bytes():
                    found.append(path)

    isolated.run("cat /run/secrets/t", mounts=(FileMount(target="/run/secrets/t", data=b"s3cret-token"),), output=look)
    assert found == []


def test_when_the_builder_is_killed_everything_of_the_run_dies(machine: Machine, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from tests.image.sandbox.conftest import Machine, make_sandbox
        from pipeyard.image.sandbox import HostBind
        machine = Machine(make_sandbox({machine.sandbox.name!r}, Path({str(tmp_path / "inner")!r})),
                          Path({str(machine.base)!r}), Path({str(tmp_path / "runs")!r}))
        machine.run("trap '' TERM HUP INT; (setsid sh -c 'while :; do date > /shared/tick; done' &); sleep 1000",
                    mounts=(HostBind(target="/shared", source=Path({str(shared)!r}), writable=True),))
        """
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": DEFAULT_PATH}
    builder = subprocess.Popen([sys.executable, "-c", program], env=environment)

    def ticks() -> list[Path]:
        # The chroot backend moves the folder into the tree meanwhile.
        found = [Path(folder, "tick") for folder, _, names in os.walk(tmp_path) if "tick" in names]
        return [path for path in found if path.is_file()]

    deadline = time.monotonic() + 30
    while not ticks():
        assert builder.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    while time.monotonic() < deadline:
        for tick in ticks():
            tick.unlink()
        time.sleep(0.1)
        if not ticks():
            break
    assert ticks() == []


def test_mounts_are_invisible_to_everybody_else_and_gone_afterwards(isolated: Machine) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    during: list[str] = []
    isolated.run("echo now", output=lambda data: during.append(Path("/proc/self/mountinfo").read_text()))
    assert os.fspath(isolated.folder) not in during[0]
    assert os.fspath(isolated.folder) not in Path("/proc/self/mountinfo").read_text()
    assert before.count("\n") == Path("/proc/self/mountinfo").read_text().count("\n")


def test_writes_through_a_cache_mount_cannot_reach_beside_it(machine: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (tmp_path / "beside").write_text("mine")
    machine.run(
        f"ln -s {tmp_path}/beside /c/link; ln -s ../beside /c/up; echo x > /c/link; echo x > /c/up;"
        "ln /c/../beside /c/hard",
        mounts=(HostBind(target="/c", source=cache, writable=True),),
    )
    assert (tmp_path / "beside").read_text() == "mine"


COMPILED = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>
static void call(const char *name, long number, long a, long b, long c) {
    errno = 0;
    syscall(number, a, b, c, 0, 0);
    printf("%s %d\\n", name, errno);
}
int main(void) {
    call("bpf", SYS_bpf, 0, 0, 0);
    call("keyctl", SYS_keyctl, 0, 0, 0);
    call("userfaultfd", SYS_userfaultfd, 0, 0, 0);
    call("open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0);
    call("perf_event_open", SYS_perf_event_open, 0, 0, 0);
    call("kexec_load", SYS_kexec_load, 0, 0, 0);
    call("clone_newuser", SYS_clone, 0x10000000, 0, 0);
    call("socket_vsock", SYS_socket, 40, 1, 0);
    call("socket_packet", SYS_socket, 17, 3, 0x300);
    call("ptrace_attach", SYS_ptrace, 16, 1, 0);
    call("ptrace_seize", SYS_ptrace, 0x4206, 1, 0);
    call("ioctl_tiocsti", SYS_ioctl, 0, 0x5412, 0);
    call("ioctl_high_bits", SYS_ioctl, 0, 0x100005412L, 0);
    call("personality", SYS_personality, 0x0040000, 0, 0);
    call("clone3", 435, 0, 0, 0);
    call("io_uring_setup", 425, 0, 0, 0);
    call("unknown", 5000, 0, 0, 0);
    call("x32_getpid", 0x40000000 + 39, 0, 0, 0);
    call("getpid", SYS_getpid, 0, 0, 0);
    call("socket", SYS_socket, 1, 1, 0);
    return 0;
}
"""


def test_the_filter_answers_each_call_as_it_should(machine: Machine, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    layer = tmp_path / "probe-layer"
    layer.mkdir()
    (tmp_path / "probe.c").write_text(COMPILED)
    subprocess.run([compiler, "-static", "-o", layer / "probe", tmp_path / "probe.c"], check=True)
    ran = machine.run(("/probe",), above=(layer,))
    answers = {name: int(code) for name, code in (line.split() for line in ran.text.splitlines())}
    missing = {"clone3", "io_uring_setup", "unknown", "x32_getpid"}
    allowed = {"getpid", "socket"}
    assert answers == {name: 38 if name in missing else 0 if name in allowed else 1 for name in answers}


def test_the_filter_is_sound_and_small() -> None:
    program = seccomp.program()
    instructions = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    assert len(instructions) < 1000
    for index, (code, yes, no, operand) in enumerate(instructions):
        if code & 7 == 5:  # a jump stays within the program
            target = index + 1 + (operand if code == 5 else max(yes, no))
            assert target < len(instructions)
    assert instructions[-1][0] == 6
    for numbers in ARCHITECTURES:
        special = {numbers.clone, numbers.socket, numbers.ioctl, numbers.personality}
        assert not special & set(numbers.forbidden)
        assert len(set(numbers.forbidden)) == len(numbers.forbidden)


def test_ptrace_reaches_only_what_the_command_started(isolated: Machine) -> None:
    assert form_of_this_process()
    ran = isolated.run(f"cat /proc/{os.getppid()}/status /proc/{os.getpid()}/mem 2>&1 | grep -c 'No such file'")
    assert ran.text.strip() == "2"


def test_a_host_bind_is_read_only_unless_said_otherwise(isolated: Machine, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "f").write_text("kept")
    mounts = (HostBind(target="/shown", source=shown),)
    refused(isolated, "echo x > /shown/f", mounts=mounts)
    refused(isolated, "rm /shown/f", mounts=mounts)
    assert (shown / "f").read_text() == "kept"
