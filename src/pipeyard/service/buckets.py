"""S3 buckets as builds use them, or folders that stand for them: sources are fetched, artifacts are stored.

`connections` may name a folder for `bucket/key` or `bucket`; everything else is asked of S3 itself.
"""

import hashlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeyard.actions.contract import SourceObject
from pipeyard.errors import InputError
from pipeyard.settings import Settings

_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can tell
_MOST_FILES = 200_000
_MOST_BYTES = 20_000_000_000
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, RuntimeError, OSError, ValueError,
)  # fmt: skip
_MOST_LINK = 4096  # bytes of where a link leads: PATH_MAX


class StoredObject(Struct, frozen=True, kw_only=True):
    """`key` of an object, or of what its objects begin with. The sums are a ZIP's, in hexadecimal."""

    bucket: str
    key: str
    sha256: str = ""
    md5: str = ""


class Buckets:
    """`client` makes botocore's client of S3 when something is asked of it. Safe for any number of threads."""

    def __init__(self, settings: Settings, client: Callable[[], Any]) -> None:
        self._settings = settings
        self._client = client

    def fetch(self, bucket: str, key: str, version: str, folder: Path) -> None:
        """Writes a source's files into `folder`: a ZIP unpacked, a `key/` with what is below. Raises InputError."""
        local = self._stands_for(bucket, key)
        if local is not None:
            _copy_local(local, folder)
            return
        with _explained(f"read s3://{bucket}/{key}", bucket):
            client = self._client()
            if key.endswith("/") or not key:
                self._fetch_below(client, bucket, key, folder)
                return
            packed = folder.parent / f".{folder.name}.zip"
            try:
                extra = {"VersionId": version} if version else {}
                body = client.get_object(Bucket=bucket, Key=key, **extra)["Body"]
                with packed.open("wb") as out:
                    shutil.copyfileobj(body, out, 1 << 20)
                unpack(packed, folder)
            finally:
                packed.unlink(missing_ok=True)

    def fetch_object(self, bucket: str, key: str, version: str, folder: Path) -> SourceObject:
        """Writes one object into `folder`, a ZIP unpacked. Raises InputError, also when there is no such object."""
        local = self._stands_for(bucket, key)
        if local is not None:
            return copy_object(local, folder)
        with _explained(f"read s3://{bucket}/{key}", bucket):
            extra = {"VersionId": version} if version else {}
            answer = self._client().get_object(Bucket=bucket, Key=key, **extra)
            arrived = folder.parent / f".{folder.name}.object"
            try:
                with arrived.open("wb") as out:
                    shutil.copyfileobj(answer["Body"], out, 1 << 20)
                _place(arrived, key.rpartition("/")[2], folder)
            finally:
                arrived.unlink(missing_ok=True)
        return SourceObject(
            etag=answer["ETag"].strip('"'),
            version_id=answer.get("VersionId", "null"),
            modified_s=int(answer["LastModified"].timestamp()),
        )

    def store(self, folder: Path, bucket: str, key: str, *, zipped: bool) -> StoredObject:
        """Stores a folder's files below a key, or as one ZIP under it. Raises InputError."""
        packed = folder.parent / f".{folder.name}.zip"
        try:
            sums = {}
            if zipped:
                pack(folder, packed)
                sums = {name: _sum(packed, name) for name in ("sha256", "md5")}
            local = self._stands_for(bucket, "")
            if local is not None:
                for file, name in [(packed, key)] if zipped else [(p, f"{key}/{n}") for p, n in _files_below(folder)]:
                    _put(file, local, name)
            else:
                with _explained(f"store s3://{bucket}/{key}", bucket):
                    client = self._client()
                    files = (
                        [(packed, key)] if zipped else [(each, f"{key}/{name}") for each, name in _files_below(folder)]
                    )
                    for file, name in files:
                        with file.open("rb") as body:
                            client.put_object(Bucket=bucket, Key=name.strip("/"), Body=body)
        finally:
            packed.unlink(missing_ok=True)
        return StoredObject(bucket=bucket, key=key, sha256=sums.get("sha256", ""), md5=sums.get("md5", ""))

    def _stands_for(self, bucket: str, key: str) -> Path | None:
        connections = self._settings.connections
        if key and (whole := connections.get(f"{bucket}/{key}")):
            return Path(whole)
        if folder := connections.get(bucket):
            found = _below(Path(folder), key)
            if not found.resolve().is_relative_to(Path(folder).resolve()):  # a link that a build left there
                raise InputError(f"{bucket}/{key} leads out of the bucket's folder")
            return found
        return None

    def _fetch_below(self, client: Any, bucket: str, prefix: str, folder: Path) -> None:
        for listed in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in listed.get("Contents", ()):
                name = found["Key"].removeprefix(prefix)
                if name and not name.endswith("/"):
                    target = _below(folder, name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as out:
                        shutil.copyfileobj(client.get_object(Bucket=bucket, Key=found["Key"])["Body"], out, 1 << 20)


def pack(folder: Path, target: Path) -> None:
    """A ZIP of a folder's files, the same for the same files; links are kept as links."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in _files_below(folder):
            status = path.lstat()
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = status.st_mode << 16
            data = str(path.readlink()).encode() if stat.S_ISLNK(status.st_mode) else path.read_bytes()
            archive.writestr(entry, data)


def unpack(packed: Path, folder: Path) -> None:
    """Files of a foreign ZIP, below `folder` and nowhere else; links are written as links. Raises InputError."""
    try:
        with zipfile.ZipFile(packed) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
                raise InputError("the source is too large to be unpacked")
            links = []
            for entry in entries:
                if not entry.filename:  # zipfile cuts names at their first NUL
                    raise InputError("a file of the source has no name")
                if entry.is_dir():
                    _below(folder, entry.filename).mkdir(parents=True, exist_ok=True)
                    continue
                target = _below(folder, entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                mode = entry.external_attr >> 16
                if stat.S_ISLNK(mode):
                    if entry.file_size > _MOST_LINK:
                        raise InputError(f"the link {entry.filename!r} of the source is too long")
                    links.append((target, archive.read(entry)))
                    continue
                with archive.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                target.chmod(0o755 if mode & 0o111 else 0o644)
            for target, where in links:  # last: nothing is written through one
                target.symlink_to(where.decode(errors="surrogateescape"))
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise InputError(f"the source is no ZIP that can be unpacked: {error}") from error


def copy_object(local: Path, folder: Path) -> SourceObject:
    """Likewise from a file, or from a folder that stands for the ZIP of it. The tag is what S3 would give: the MD5."""
    if local.is_dir():
        shutil.copytree(local, folder, symlinks=True, dirs_exist_ok=True)
        packed = folder.parent / f".{folder.name}.zip"
        try:
            pack(folder, packed)
            etag = _sum(packed, "md5")
        finally:
            packed.unlink(missing_ok=True)
        newest = max((int(path.lstat().st_mtime) for path, _ in _files_below(folder)), default=0)
        return SourceObject(etag=etag, version_id="null", modified_s=newest)
    if not local.is_file():
        raise InputError(f"there is no {local}", hint="--source or the settings' connections name it")
    _place(local, local.name, folder)
    return SourceObject(etag=_sum(local, "md5"), version_id="null", modified_s=int(local.stat().st_mtime))


def _put(file: Path, bucket: Path, key: str) -> None:
    """An object into the folder that stands for a bucket: never through a link that another one was. Raises InputError.

    A link is replaced by what has its name, as an object is by another.
    """
    target = _below(bucket, key)
    if not target.parent.resolve().is_relative_to(bucket.resolve()):
        raise InputError(f"{key} leads out of the bucket's folder", hint="an object before it was a symbolic link")
    arriving = target.parent / f".tmp-{os.urandom(16).hex()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, arriving, follow_symlinks=False)
        arriving.rename(target)
    except OSError as error:
        arriving.unlink(missing_ok=True)
        raise InputError(f"cannot store {key}: {error.strerror or error}") from error


def _place(file: Path, name: str, folder: Path) -> None:
    if zipfile.is_zipfile(file):
        unpack(file, folder)
    else:
        shutil.copyfile(file, _below(folder, name or "object"))


def _copy_local(local: Path, folder: Path) -> None:
    if local.is_dir():
        shutil.copytree(local, folder, symlinks=True, dirs_exist_ok=True)
    elif local.is_file():
        unpack(local, folder)
    else:
        raise InputError(f"there is no {local}", hint="the settings' connections name it")


def _below(folder: Path, name: str) -> Path:
    """Raises InputError for a name that leads out."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InputError(f"the name {name!r} leads out of its folder")
    return folder.joinpath(*parts)


def _files_below(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or path.is_file():
            yield path, path.relative_to(folder).as_posix()


def _sum(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@contextmanager
def _explained(doing: str, bucket: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            f"cannot {doing}: {error}",
            hint=f'set connections."{bucket}" in pipeyard.toml to a folder that stands for the bucket',
        ) from error
