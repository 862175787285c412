"""Credentials for git hosts, from where git would take them: the URL, the ssh agent, credential helpers."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import pygit2

    Credential = pygit2.Username | pygit2.UserPass | pygit2.Keypair
    Asker = Callable[[str, str | None, pygit2.enums.CredentialType], Credential]

_HELPER_TIMEOUT_S = 20
_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def credentials_for(
    url: str,
) -> "Asker":
    """A libgit2 credential callback that gives up, instead of asking for ever, when what it has was refused."""
    import pygit2

    tried: set[str] = set()

    def once(kind: str) -> bool:
        fresh = kind not in tried
        tried.add(kind)
        return fresh

    def answer(_url: str, username: str | None, allowed: "pygit2.enums.CredentialType") -> "Credential":
        kinds = pygit2.enums.CredentialType
        if allowed & kinds.USERNAME and once("username"):
            return pygit2.Username(username or "git")
        if allowed & kinds.SSH_KEY and once("agent"):
            return pygit2.KeypairFromAgent(username or "git")
        if allowed & kinds.SSH_KEY:
            for key in _KEYS:
                private = Path("~/.ssh", key).expanduser()  # where ssh itself looks
                if once(key) and private.is_file():
                    return pygit2.Keypair(username or "git", f"{private}.pub", str(private), "")
        if allowed & kinds.USERPASS_PLAINTEXT:
            parts = urlsplit(url)
            if parts.password is not None and once("url"):
                return pygit2.UserPass(unquote(parts.username or ""), unquote(parts.password))
            if once("helper") and (found := _from_git(url)) is not None:
                return pygit2.UserPass(*found)
        raise pygit2.GitError("the host asks for credentials, and none that are configured were accepted")

    return answer


def _from_git(url: str) -> tuple[str, str] | None:
    """Asks `git credential fill`, so that every configured helper and store counts; None without git or an answer."""
    parts = urlsplit(url)
    request = f"protocol={parts.scheme}\nhost={parts.netloc.rpartition('@')[2]}\npath={parts.path.lstrip('/')}\n"
    if parts.username:
        request += f"username={unquote(parts.username)}\n"
    try:
        done = subprocess.run(
            ["git", "-c", "credential.interactive=false", "-c", "core.askPass=true", "credential", "fill"],
            input=request + "\n",
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if done.returncode != 0 or not fields.get("password"):
        return None
    return fields.get("username", ""), fields["password"]
