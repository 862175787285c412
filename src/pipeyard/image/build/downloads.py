"""ADD of an http(s) URL: one file, its checksum verified while it comes in.

Source: BuildKit, source/http: mode 0600, the time of Last-Modified, failures of the server are failures of the build.
"""

import email.utils
import hashlib
import os
import re
from pathlib import Path

from pipeyard.errors import BuildFailed
from pipeyard.threads import Stop

_TIMEOUT_S = 60.0
_MODE = 0o600
_CHUNK = 1 << 20


def download(url: str, file: Path, *, checksum: str, stop: Stop) -> str:
    """Writes the content to `file` and gives its sha256. Raises BuildFailed, and Stopped after a stop."""
    import urllib.error
    import urllib.request

    algorithm, _, expected = checksum.partition(":") if checksum else ("sha256", "", "")
    if checksum and (algorithm not in ("sha256", "sha384", "sha512") or not re.fullmatch("[0-9a-f]+", expected)):
        raise BuildFailed(f"{checksum} is not a checksum", hint="write sha256: and 64 hexadecimal digits")
    digest, wanted = hashlib.sha256(), hashlib.new(algorithm)
    request = urllib.request.Request(url, headers={"User-Agent": "pipeyard", "Accept-Encoding": "identity"})  # noqa: S310 -- the planner passes http and https only
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer, open(file, "wb") as out:  # noqa: S310 -- as above
            while data := answer.read(_CHUNK):
                stop.check()
                digest.update(data)
                wanted.update(data)
                out.write(data)
            modified = answer.headers.get("Last-Modified", "")
    except urllib.error.HTTPError as error:
        raise BuildFailed(f"invalid response status {error.code} for {url}: not found or not allowed") from error
    except OSError as error:
        raise BuildFailed(f"{url} could not be downloaded: {error}") from error
    if expected and wanted.hexdigest() != expected:
        raise BuildFailed(f"digest mismatch for {url}: got {algorithm}:{wanted.hexdigest()}, expected {checksum}")
    os.chmod(file, _MODE)
    try:
        time = email.utils.parsedate_to_datetime(modified).timestamp() if modified else 0.0
    except ValueError:
        time = 0.0
    os.utime(file, (time, time))
    return digest.hexdigest()
