"""`RUN --mount` and `RUN --device`: a list of options as CSV, read in the order in which they stand.

Before expansion only `from` is looked at, since the graph of stages must not depend on variables; the other options
are read by `read_mount` when their variables are known. Source: BuildKit, frontend/dockerfile/instructions/
commands_runmount.go and commands_rundevice.go; defaults from dockerfile2llb/convert_{runmount,secrets,ssh}.go.
"""

import posixpath
from collections.abc import Callable
from typing import Literal, cast

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.instructions import (
    BindMount,
    CacheMount,
    Device,
    Mount,
    MountRequest,
    SecretMount,
    SshMount,
    TmpfsMount,
    Word,
)
from pipeyard.image.dockerfile.quantities import parse_bool, parse_size, parse_unsigned
from pipeyard.image.dockerfile.suggestions import did_you_mean

_TYPES = ("bind", "cache", "secret", "ssh", "tmpfs")
_SHARING = ("locked", "private", "shared")
_KEYS = {
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "readwrite": "readwrite",
    "rw": "readwrite",
    **{key: key for key in ("type", "from", "id", "sharing", "required", "size", "mode", "uid", "gid", "env")},
}
_FIELDS_LIMIT = 1000
_SWITCHES = ("readonly", "readwrite", "required")


def request_mount(word: Word) -> MountRequest:
    """A `--mount` before its variables are known. Raises DockerfileError for bad CSV, and for a variable in `from`."""
    from_ = ""
    for field in _fields(word.raw):
        key, equals, value = field.partition("=")
        if equals and key.lower() == "from":
            if "$" in value[:-1]:
                raise DockerfileError(
                    "'from' of a mount doesn't support variable expansion",
                    hint="define an alias stage instead: FROM $NAME AS alias",
                )
            from_ = value
    return MountRequest(word, from_)


def read_mount(word: Word, expand: Callable[[str], str]) -> Mount:
    """The mount that a `--mount` asks for. Raises DockerfileError for an option that is unknown or does not fit."""
    options: dict[str, str | bool] = {"type": "bind"}
    for field in _fields(word.raw):
        key, equals, value = field.partition("=")
        name = _KEYS.get(key.lower())
        if not equals:
            if name not in _SWITCHES:
                raise DockerfileError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        else:
            value = expand(value)
            if name is None:
                raise DockerfileError(f"unexpected key '{key}' in '{field}'", hint=did_you_mean(key.lower(), _KEYS))
        _set_option(options, name, key, value)
    return _mount(options)


def _set_option(options: dict[str, str | bool], name: str, key: str, value: str) -> None:
    kind = options["type"]
    if (name == "required" and kind not in ("secret", "ssh")) or (name == "size" and kind != "tmpfs"):
        # The type counts that was given so far, as in BuildKit.
        raise DockerfileError(f"unexpected key '{key}' for mount type '{kind}'", hint="put type= first")
    if name == "type":
        options["type"] = _choice(value, _TYPES, "unsupported mount type")
    elif name == "sharing":
        options["sharing"] = _choice(value, _SHARING, "unsupported sharing value")
    elif name in _SWITCHES:
        flag = parse_bool(value)
        if flag is None:
            raise DockerfileError(f"invalid value for {key}: {value}", hint="true or false")
        if name == "required":
            options["required"] = flag
        else:
            options["readonly"] = flag == (name == "readonly")
    else:
        options[name] = value
        if name in ("mode", "uid", "gid") and parse_unsigned(value, base=8 if name == "mode" else 10) is None:
            raise DockerfileError(f"invalid value {value} for {name} of a mount")
        if name == "size" and parse_size(value) is None:
            raise DockerfileError(f"invalid value for size of a mount: {value}")


def _choice(value: str, choices: tuple[str, ...], complaint: str) -> str:
    if value.lower() not in choices:
        hint = did_you_mean(value, choices) or "one of " + ", ".join(choices)
        raise DockerfileError(f'{complaint} "{value}"', hint=hint)
    return value.lower()


def _mount(options: dict[str, str | bool]) -> Mount:
    kind = str(options["type"])
    source, target, from_ = (str(options.get(name, "")) for name in ("source", "target", "from"))
    id_ = str(options.get("id", ""))
    owner = {name: _number(options, name) for name in ("mode", "uid", "gid")}
    read_only = bool(options.get("readonly", kind not in ("cache", "tmpfs")))
    if kind in ("bind", "tmpfs"):
        for name in owner:
            if name in options:
                raise DockerfileError(f'{name} not allowed for "{kind}" type mounts')
    if "sharing" in options and kind != "cache":
        raise DockerfileError(f"invalid cache sharing set for {kind} mount")
    if kind == "tmpfs":
        size = parse_size(str(options["size"])) if "size" in options else 0
        return TmpfsMount(target=target, size=size or 0, read_only=read_only)
    if kind == "cache":
        sharing = cast("Literal['shared', 'private', 'locked']", options.get("sharing", "shared"))
        return CacheMount(
            target=target,
            id=id_ or posixpath.normpath(target or "."),
            from_=from_,
            source=source,
            read_only=read_only,
            sharing=sharing,
            **owner,
        )
    required = bool(options.get("required", False))
    if kind == "secret":
        return _secret(options, source, target, from_, id_)
    if kind == "ssh":
        if source:
            raise DockerfileError("an ssh mount does not support source")
        mode = owner["mode"]
        return SshMount(
            id=id_ or "default",
            target=target,
            required=required,
            mode=0o600 if mode is None else mode,
            uid=owner["uid"] or 0,
            gid=owner["gid"] or 0,
        )
    return BindMount(from_=from_, source=source, target=target, read_only=read_only)


def _secret(options: dict[str, str | bool], source: str, target: str, from_: str, id_: str) -> SecretMount:
    if from_:
        raise DockerfileError("secret mount should not have a from")
    if source and id_:
        raise DockerfileError("both source and id can't be set: for a secret they are the same")
    name = source or id_ or posixpath.basename(target.rstrip("/"))
    if not name:
        raise DockerfileError("invalid secret mount. one of source, target required")
    env = str(options["env"]) if "env" in options else None
    if env is None and not target:
        target = "/run/secrets/" + posixpath.basename(name.rstrip("/"))
    mode = _number(options, "mode")
    return SecretMount(
        id=name,
        target=target,
        env=env,
        required=bool(options.get("required", False)),
        mode=0o400 if mode is None else mode,
        uid=_number(options, "uid") or 0,
        gid=_number(options, "gid") or 0,
    )


def _number(options: dict[str, str | bool], name: str) -> int | None:
    if name not in options:
        return None
    return parse_unsigned(str(options[name]), base=8 if name == "mode" else 10)


def read_device(text: str) -> Device:
    """Raises DockerfileError for an option that does not exist."""
    device = ""
    required = False
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key == "required":
            flag = parse_bool(value) if equals else True
            if flag is None:
                raise DockerfileError(f"invalid value for required: {value}")
            required = flag
        elif key == "name" and equals:
            if device:
                raise DockerfileError(f"device name is already {device}")
            device = value
        elif not device:
            device = field
        else:
            raise DockerfileError(f"unexpected key {key!r} in device", hint=did_you_mean(key, ("name", "required")))
    return Device(device, required)


def _fields(line: str) -> list[str]:
    """One line of CSV; a field that begins with a quote ends with one, and `""` within is one quote."""
    if not line or line.count(",") > _FIELDS_LIMIT:
        raise DockerfileError("a list of options needs at least one" if not line else "too many options")
    fields = []
    position = 0
    while True:
        if not line.startswith('"', position):
            end = line.find(",", position)
            comma = "," if end >= 0 else ""
            end = end if end >= 0 else len(line)
            field = line[position:end]
            if '"' in field:
                raise DockerfileError(f"a bare quote in {field!r}", hint='quote the whole field: "a=b,c"')
            position = end
        else:
            end = line.find('"', position + 1)
            while end >= 0 and line.startswith('""', end):
                end = line.find('"', end + 2)
            comma = line[end + 1 : end + 2]
            if end < 0 or comma not in ("", ","):
                raise DockerfileError(f"a quote without end in {line!r}")
            field = line[position + 1 : end].replace('""', '"')
            position = end + 1
        fields.append(field)
        if not comma:
            return fields
        position += 1
