"""What a registry's refusal means to people: who refused what, with which code, and the next move.

Source: distribution-spec, "Error Codes"; the hints for ECR are from the ECR User Guide, "Troubleshooting".
"""

import msgspec
from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.registry.client.messages import Response

_MAX_ERROR = 64 * 1024


class _Fault(Struct):
    code: str = ""
    message: str | None = ""


class _Faults(Struct):
    errors: list[_Fault] | None = None


def refusal(response: Response, host: str, repository: str, doing: str) -> RegistryError:
    """The error for an answer that is no success; reads its body. `doing` is such as "push the manifest latest"."""
    code, said = _first_fault(response)
    name = f"{host}/{repository}"
    text = f"{host} refused to {doing} of {repository}: {response.status}"
    if code:
        text += f" {code}"
    if said:
        text += f" ({said})"
    return RegistryError(
        text, status=response.status, code=code, hint=_hint(response.status, code, said, host, name, doing)
    )


def _first_fault(response: Response) -> tuple[str, str]:
    try:
        body = response.read_all(_MAX_ERROR)
    except RegistryError:
        return "", ""
    try:
        faults = msgspec.json.decode(body, type=_Faults).errors or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = " ".join(body[:300].decode(errors="replace").split())
        return "", "" if text.startswith("<") else _printable(text)
    if not faults:
        return "", ""
    return _printable(faults[0].code)[:80], _printable(faults[0].message or "")[:300]


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _hint(status: int, code: str, said: str, host: str, name: str, doing: str) -> str:
    pushing = doing.startswith(("push", "mount", "tag"))
    is_ecr = ".dkr.ecr" in host or host == "public.ecr.aws"
    if status == 401:
        return f"does {name} exist? if it is private, log in with `docker login {host}` or `podman login {host}`"
    if "IMMUTABLE" in code.upper() or "immutable" in said.lower() or code == "TAG_INVALID":
        repository = name.partition("/")[2]
        let = f"aws ecr put-image-tag-mutability --repository-name {repository} --image-tag-mutability MUTABLE"
        return "the repository does not let a tag move; use another tag" + (
            f", or let it move: {let}" if is_ecr else ""
        )
    if status == 403 and "expired" in said.lower():
        return f"log in to {host} again"
    if status == 403:
        return f"the login for {host} may not do this with {name}"
    if status == 404 and pushing:
        create = f"`aws ecr create-repository --repository-name {name.partition('/')[2]}`"
        return (
            f"create the repository first: {create}, or set create_repository = true"
            if is_ecr
            else ("the registry does not create repositories by itself; create it there first")
        )
    if status == 404:
        return f"list what is there with `pipeyard image ls {name}`"
    if status == 405 or code == "UNSUPPORTED":
        return "the registry does not allow this; deleting often has to be switched on there"
    if status == 413:
        return "the registry, or a proxy before it, limits the size of an upload"
    if status == 429:
        return f"log in to {host}, use a mirror (--registry-mirror), or try later"
    if status >= 500:
        return "the registry has a fault of its own; try later"
    return ""
