"""Packages of Python, Node.js and Ruby, as their own installers record them.

Sources: Python packaging user guide, "Recording installed projects" and "Core metadata"; npm docs, package.json and
package-lock.json; RubyGems, Gem::StubSpecification.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pipeyard.scan.finding import Finding, clean, text_of

_MAX_LOCKED = 100_000
_stub = re.compile(r"^# stub: (\S+) (\S+) (\S+)", re.MULTILINE).search
_gem_name = re.compile(r"\.name\s*=\s*[\"']([^\"'\n]+)").search
_gem_version = re.compile(r"\.version\s*=\s*(?:Gem::Version\.new\()?\s*[\"']([^\"'\n]+)").search
_gem_licenses = re.compile(r"\.licenses?\s*=\s*\[?([^\]\n]*)").search
_quoted = re.compile(r"[\"']([^\"'\n]+)[\"']").findall


def python_packages(data: bytes) -> Iterator[Finding]:
    """The project of a METADATA or PKG-INFO file."""
    fields: dict[str, str] = {}
    for line in text_of(data).split("\n"):
        if not line.strip():
            break  # the description follows
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(name.lower(), clean(value))
    if fields.get("name") and fields.get("version"):
        yield Finding(
            kind="pypi",
            name=fields["name"],
            version=fields["version"],
            source="Python package metadata",
            license=fields.get("license-expression", "") or fields.get("license", ""),
            supplier=fields.get("author", "") or fields.get("author-email", ""),
            homepage=fields.get("home-page", ""),
        )


def npm_package(data: bytes) -> Iterator[Finding]:
    """The package of a package.json."""
    document = _json(data)
    found = _npm(document.get("name"), document.get("version"), document.get("license"), "package.json")
    if found is not None:
        yield found


def npm_lock(data: bytes) -> Iterator[Finding]:
    """The packages of a package-lock.json of any version that are needed at run time."""
    document = _json(data)
    packages = document.get("packages")
    locked: list[tuple[Any, Any]] = []
    if isinstance(packages, dict):
        for path, entry in packages.items():
            if "node_modules/" in path and isinstance(entry, dict):
                locked.append((entry.get("name") or path.rpartition("node_modules/")[2], entry))
    elif isinstance(document.get("dependencies"), dict):
        nested = [document["dependencies"]]
        while nested and len(locked) < _MAX_LOCKED:
            for name, entry in nested.pop().items():
                if isinstance(entry, dict):
                    locked.append((name, entry))
                    if isinstance(entry.get("dependencies"), dict):
                        nested.append(entry["dependencies"])
    for name, entry in locked[:_MAX_LOCKED]:
        if entry.get("dev") or entry.get("link") or entry.get("devOptional"):
            continue
        found = _npm(name, entry.get("version"), entry.get("license"), "package-lock.json")
        if found is not None:
            yield found


def _npm(name: Any, version: Any, license_: Any, source: str) -> Finding | None:
    if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
        return None
    scope, slash, rest = name.partition("/")
    scoped = slash and scope.startswith("@")
    return Finding(
        kind="npm",
        namespace=clean(scope) if scoped else "",
        name=clean(rest if scoped else name),
        version=clean(version),
        source=source,
        license=clean(license_) if isinstance(license_, str) else "",
    )


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def gem_packages(data: bytes) -> Iterator[Finding]:
    """The gem of an installed .gemspec, which is Ruby and is not run."""
    text = text_of(data)
    stub = _stub(text)
    if stub is not None:
        name, version, platform = stub.groups()
    else:
        named, versioned = _gem_name(text), _gem_version(text)
        if named is None or versioned is None:
            return
        name, version, platform = named[1], versioned[1], "ruby"
    licenses = _gem_licenses(text)
    yield Finding(
        kind="gem",
        name=clean(name),
        version=clean(version),
        qualifiers={"platform": clean(platform) if platform != "ruby" else ""},
        source="installed gem specification",
        license=clean(" OR ".join(_quoted(licenses[1]))) if licenses else "",
    )
