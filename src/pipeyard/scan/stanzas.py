"""The databases of dpkg and apk: paragraphs of lines, each with a key.

Sources: deb-control(5) and dpkg-query(1); Alpine wiki, "Apk spec"; distroless keeps one paragraph a file in status.d.
"""

from collections.abc import Iterator

from pipeyard.scan.finding import Finding, clean, text_of


def dpkg_packages(data: bytes) -> Iterator[Finding]:
    """The installed packages of dpkg's status file, or of one of a status.d folder."""
    for record in _paragraphs(data, ":"):
        status = record.get("Status", "install ok installed").split()
        name, version = record.get("Package", ""), record.get("Version", "")
        if not name or not version or status[-1:] != ["installed"]:
            continue
        source, _, of = record.get("Source", "").partition(" ")
        upstream = f"{source}@{of.strip('()')}" if of else source
        yield Finding(
            kind="deb",
            name=name,
            version=version,
            qualifiers={"arch": record.get("Architecture", ""), "upstream": upstream},
            source="DPKG database",
            supplier=record.get("Maintainer", ""),
            homepage=record.get("Homepage", ""),
        )


def apk_packages(data: bytes) -> Iterator[Finding]:
    """The packages of apk's `installed`."""
    for record in _paragraphs(data, ":"):
        name, version = record.get("P", ""), record.get("V", "")
        if name and version:
            origin = record.get("o", "")
            yield Finding(
                kind="apk",
                name=name,
                version=version,
                qualifiers={"arch": record.get("A", ""), "upstream": origin if origin != name else ""},
                source="APK database",
                license=record.get("L", ""),
                supplier=record.get("m", ""),
                homepage=record.get("U", ""),
            )


def _paragraphs(data: bytes, separator: str) -> Iterator[dict[str, str]]:
    """Continuation lines (descriptions, lists of files) are left out: nothing here asks for them."""
    record: dict[str, str] = {}
    for line in text_of(data).split("\n"):
        if not line.strip():
            if record:
                yield record
            record = {}
        elif line[0] not in " \t":
            key, found, value = line.partition(separator)
            if found and len(key) < 100:
                record.setdefault(key, clean(value))
    if record:
        yield record
