"""Git repositories as people write them in ADD and in contexts: URL, `#REF:SUBFOLDER`, and `?key=value`.

Source: BuildKit, dfgitutil/git_ref.go; Docker's documentation, "Build context", "Git repositories".
"""

from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.patterns import later

_SCP = later(r"(?:[a-zA-Z0-9._-]+@)[a-zA-Z0-9.-]+:(?!//).+")
_BARE_KEYS = frozenset({"submodules", "keep-git-dir", "fetch-by-commit"})


class GitReference(Struct, frozen=True, kw_only=True):
    remote: str
    reference: str = ""
    subfolder: str = ""
    checksum: str = ""
    keep_git: bool | None = None


def parse_git(text: str) -> GitReference | None:
    """None when the text is no git repository; an http URL is one when its path ends in `.git`.

    Raises DockerfileError.
    """
    if text.startswith(("./", "../", "/")):
        return None
    address, _, fragment = text.partition("#")
    if _SCP.fullmatch(address) and "://" not in address:
        remote, _, query = address.partition("?")
    else:
        if "://" not in address:
            return None
        parts = urlsplit(address)
        query = parts.query
        if parts.scheme in ("http", "https"):
            if not parts.path.endswith(".git"):
                return None
        elif parts.scheme not in ("git", "ssh", "file"):
            return None
        if parts.scheme == "file" and not parts.path.endswith(".git"):
            return None
        remote = address.partition("?")[0]
    reference, _, subfolder = fragment.partition(":")
    found = GitReference(remote=remote, reference=reference, subfolder=subfolder.strip("/"))
    return _with_query(found, query) if query else found


def _with_query(found: GitReference, query: str) -> GitReference:
    values: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in values:
            raise DockerfileError(f'query "{key}" has multiple values')
        if not value and key not in _BARE_KEYS:
            raise DockerfileError(f'query "{key}" has no value')
        values[key] = value
    reference, subfolder, checksum, keep = found.reference, found.subfolder, "", None
    wanted: list[str] = []
    for key, value in values.items():
        match key:
            case "ref":
                wanted.append(value)
            case "tag":
                wanted.append(value if value.startswith("refs/tags/") else f"refs/tags/{value}")
            case "branch":
                wanted.append(value if value.startswith("refs/heads/") else f"refs/heads/{value}")
            case "subdir":
                if subfolder and subfolder != value.strip("/"):
                    raise DockerfileError(f'subdir conflicts: "{subfolder}" vs "{value}"')
                subfolder = value.strip("/")
            case "checksum" | "commit":
                checksum = value
            case "keep-git-dir":
                keep = _boolean(key, value)
            case "submodules" | "fetch-by-commit":
                _boolean(key, value)
            case "mtime":
                if value not in ("checkout", "commit"):
                    raise DockerfileError(f'invalid mtime value: "{value}"', hint="it is checkout or commit")
            case _:
                raise DockerfileError(f'unexpected query "{key}"')
    for name in wanted:
        if reference and reference != name:
            raise DockerfileError(f'ref conflicts: "{reference}" vs "{name}"')
        reference = name
    return GitReference(remote=found.remote, reference=reference, subfolder=subfolder, checksum=checksum, keep_git=keep)


def _boolean(key: str, value: str) -> bool:
    if value.lower() in ("", "1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise DockerfileError(f'invalid {key} value: "{value}"')
