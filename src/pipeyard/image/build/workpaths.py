"""Paths of instructions, seen from the working folder of their stage."""

import posixpath


def joined(folder: str, path: str) -> str:
    """`path` as seen from `folder`: absolute, cleaned, without trailing slash."""
    if not path:
        return folder
    if path.startswith("/"):
        return posixpath.normpath(path).replace("//", "/") or "/"
    return posixpath.normpath(posixpath.join("/", folder, path)).replace("//", "/")


def working_folder(folder: str, path: str) -> str:
    """What the image's configuration calls the folder after WORKDIR: an absolute path is kept as it was written."""
    return path if path.startswith("/") else joined(folder, path)


def destination_path(folder: str, path: str) -> str:
    """Absolute, cleaned, but with the trailing slash or `/.` that says that a folder is meant."""
    written = "./" if path in ("", ".") else path
    clean = joined(folder, written)
    if written.endswith("/.") and clean != "/":
        return clean + "/."
    return clean + "/" if written.endswith("/") and clean != "/" else clean
