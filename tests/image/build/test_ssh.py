"""RUN --mount=type=ssh with OpenSSH's own clients on both ends: its agent or our own, its ssh-add in the RUN."""

import os
import shutil
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeyard.errors import BuildFailed, InputError
from pipeyard.image.build import SshAgent
from pipeyard.image.build.sshagent import load_keys, serving
from tests.image.build.conftest import Yard, files_of

NEEDED = ("ssh-add", "ssh-agent", "ssh-keygen")
KINDS = [("ed25519", ""), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]


@pytest.fixture(autouse=True)
def _openssh() -> None:
    for name in NEEDED:
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}, which the keys and clients of these tests come from")


def made_key(folder: Path, kind: str = "ed25519", bits: str = "", *options: str, name: str = "key") -> Path:
    path = folder / name
    size = ["-b", bits] if bits else []
    passphrase = [] if "-N" in options else ["-N", ""]
    command = ["ssh-keygen", "-q", "-t", kind, *size, *passphrase, "-C", "me", *options, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def fingerprint(key: Path) -> str:
    listed = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, check=True)
    return listed.stdout.split()[1]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """OpenSSH's agent, without keys."""
    path = tmp_path / "a.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
    yield path
    process.terminate()
    process.wait()


def ssh_add(sock: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "SSH_AUTH_SOCK": str(sock), "HOME": "/nonexistent"}
    command = ["ssh-add", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A context with OpenSSH's clients and the libraries that they need, as they lie on this machine."""
    folder = tmp_path / "tools"
    for name in ("ssh-add", "ssh-keygen"):
        program = shutil.which(name) or ""
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in [program, *(word for word in listed.split() if word.startswith("/"))]:
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return str(folder)


def test_a_run_lists_the_keys_of_the_agent_and_signs_with_them(
    yard: Yard, busybox: str, tools: str, agent: Path, tmp_path: Path
) -> None:
    key = made_key(tmp_path)
    assert ssh_add(agent, str(key)).returncode == 0
    built = yard.build(
        f"FROM {busybox}\nCOPY --from=tools / /\nCOPY message key.pub /\n"
        "RUN --mount=type=ssh echo $SSH_AUTH_SOCK > /where && ssh-add -l > /keys && "
        "ssh-keygen -Y sign -f /key.pub -n file /message\n",
        {"message": "hello", "key.pub": Path(f"{key}.pub").read_bytes()},
        contexts={"tools": tools},
        ssh={"default": SshAgent((agent,))},
    )
    files = files_of(built)
    assert files["where"].content == b"/run/buildkit/ssh_agent.0\n"
    assert fingerprint(key) in str(files["keys"].content)
    assert verified(tmp_path, key, b"hello", files["message.sig"].content)
    assert not [path for path in files if path.startswith("run/buildkit")]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_a_key_file_is_served_to_the_run_as_an_agent(
    yard: Yard, busybox: str, tools: str, tmp_path: Path, kind: str, bits: str
) -> None:
    key = made_key(tmp_path, kind, bits)
    built = yard.build(
        f"FROM {busybox}\nCOPY --from=tools / /\nCOPY message key.pub /\n"
        "RUN --mount=type=ssh ssh-add -l > /keys && ssh-keygen -Y sign -f /key.pub -n file /message\n",
        {"message": "hello", "key.pub": Path(f"{key}.pub").read_bytes()},
        contexts={"tools": tools},
        ssh={"default": SshAgent((key,))},
    )
    files = files_of(built)
    assert fingerprint(key) in str(files["keys"].content)
    assert verified(tmp_path, key, b"hello", files["message.sig"].content)
    private = key.read_bytes().splitlines()[1]
    assert not [path for path, entry in files.items() if isinstance(entry.content, bytes) and private in entry.content]


def verified(folder: Path, key: Path, message: bytes, signature: object) -> bool:
    assert isinstance(signature, bytes)
    (folder / "sig").write_bytes(signature)
    (folder / "allowed").write_text(f"me {Path(f'{key}.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-I", "me", "-n", "file"]
    command += ["-f", str(folder / "allowed"), "-s", str(folder / "sig")]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("form", ["PEM", "PKCS8", "RFC4716"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_every_form_of_key_file_is_read(tmp_path: Path, form: str, kind: str) -> None:
    key = made_key(tmp_path, kind, "", "-m", form)
    with serving(SshAgent((key,)), tmp_path, uid=0, gid=0, mode=0o600) as path:
        assert fingerprint(key) in ssh_add(path, "-l").stdout


def test_several_keys_are_one_agent(tmp_path: Path) -> None:
    keys = (made_key(tmp_path, name="one"), made_key(tmp_path, "rsa", "2048", name="two"))
    with serving(SshAgent(keys), tmp_path, uid=0, gid=0, mode=0o600) as path:
        listed = ssh_add(path, "-l").stdout
        assert all(fingerprint(key) in listed for key in keys)
        for key in keys:  # a signature that ssh-add itself checks
            assert ssh_add(path, "-T", f"{key}.pub").returncode == 0
    assert ssh_add(path, "-l").returncode == 2


def test_a_run_cannot_add_remove_or_lock_keys(agent: Path, tmp_path: Path) -> None:
    key, other = made_key(tmp_path), made_key(tmp_path, name="other")
    ssh_add(agent, str(key))
    with serving(SshAgent((agent,)), tmp_path, uid=0, gid=0, mode=0o600) as path:
        assert ssh_add(path, "-D").returncode != 0
        assert ssh_add(path, "-d", f"{key}.pub").returncode != 0
        assert ssh_add(path, str(other)).returncode != 0
        assert ssh_add(path, "-T", f"{key}.pub").returncode == 0
    assert ssh_add(agent, "-l").stdout.count("\n") == 1
    with serving(SshAgent((agent,), raw=True), tmp_path, uid=0, gid=0, mode=0o600) as path:
        assert ssh_add(path, "-D").returncode == 0
    assert "no identities" in ssh_add(agent, "-l").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_socket_belongs_to_whom_the_mount_says(yard: Yard, busybox: str, tmp_path: Path) -> None:
    built = yard.build(
        f"FROM {busybox}\nRUN --mount=type=ssh,id=a,target=/s,uid=1000,gid=2001,mode=0640 ls -ln /s > /said\n"
        "USER app\nRUN --mount=type=ssh,id=a,uid=1000 test -w $SSH_AUTH_SOCK\n"
        "RUN --mount=type=ssh,id=a ! test -w $SSH_AUTH_SOCK\n",
        ssh={"a": SshAgent((made_key(tmp_path),))},
    )
    said = str(files_of(built)["said"].content)
    assert "srw-r-----" in said
    assert said.split()[2:4] == ["1000", "2001"]


def test_an_agent_that_was_not_given_is_an_error_only_where_it_is_required(yard: Yard, busybox: str) -> None:
    built = yard.build(f"FROM {busybox}\nRUN --mount=type=ssh ! test -e $SSH_AUTH_SOCK && echo none > /said\n")
    assert files_of(built)["said"].content == b"none\n"
    with pytest.raises(BuildFailed, match="no SSH key 'mine' forwarded"):
        yard.build(f"FROM {busybox}\nRUN --mount=type=ssh,id=mine,required true\n")


def test_what_is_no_key_is_refused_with_what_to_do(tmp_path: Path, agent: Path) -> None:
    key = made_key(tmp_path)
    locked = made_key(tmp_path, "ed25519", "", "-N", "secret", name="locked")
    (tmp_path / "text").write_text("no key")
    for paths, complaint in (
        ((locked,), "passphrase"),
        ((tmp_path / "text",), "no private key"),
        ((Path(f"{key}.pub"),), "no private key"),
        ((tmp_path / "missing",), "cannot be read"),
        ((agent, key), "not both"),
    ):
        with pytest.raises(InputError, match=complaint):
            load_keys(SshAgent(paths))
    with pytest.raises(InputError, match="raw"):
        load_keys(SshAgent((key,), raw=True))


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff", b"\0\0\0\0", struct.pack(">I", 1 << 20) + b"\x0b", b"\0\0\0\x05\x0d\0\0\0\xff",
        b"\0\0\0\x01", b"\0\0\0\x01\x0d", b"\0\0\0\x05\x0d\0\0\0\0", b"x" * 5000,
    ],
)  # fmt: skip
def test_a_client_that_sends_nonsense_is_hung_up_and_the_next_is_served(tmp_path: Path, sent: bytes) -> None:
    key = made_key(tmp_path)
    with serving(SshAgent((key,)), tmp_path, uid=0, gid=0, mode=0o600) as path:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                assert client.recv(10) == b""
        assert fingerprint(key) in ssh_add(path, "-l").stdout


def test_nothing_is_left_however_many_clients_stay(tmp_path: Path, agent: Path) -> None:
    before = threading.active_count()
    for given in (made_key(tmp_path), agent):
        clients = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        with serving(SshAgent((given,)), tmp_path, uid=0, gid=0, mode=0o600) as path:
            assert stat.S_ISSOCK(path.stat().st_mode)
            for client in clients:
                client.connect(str(path))
        assert not path.parent.exists()
        assert threading.active_count() == before
        for client in clients:
            client.close()
