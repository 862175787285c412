"""An inventory as an SPDX document in JSON. Source: SPDX 2.3 and its JSON schema."""

import datetime
import hashlib
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.scan.finding import clean
from pipeyard.scan.licenses import is_expression
from pipeyard.scan.sbom import Package, Sbom

_NAMESPACE = uuid.UUID("6f1b5d9c-2f53-5d0e-9a6b-6e5f3c1a7d42")  # of the names of documents; any constant would do
_UNKNOWN = "NOASSERTION"


class Subject(Struct, frozen=True, kw_only=True):
    """The image that the document describes."""

    name: str
    digest: str  # sha256:...
    created_s: int  # since 1970; the same image has the same document
    tool: str = "pipeyard"  # and its version


def spdx_document(sbom: Sbom, subject: Subject) -> dict[str, Any]:
    """The document as JSON's values. Equal arguments give equal documents: its name is derived from them."""
    packages = [_image(subject)]
    if sbom.distribution is not None:
        packages.append(
            _bare(f"SPDXRef-OperatingSystem-{_name(sbom.distribution.id)}", sbom.distribution.id)
            | {"versionInfo": sbom.distribution.version or _UNKNOWN, "primaryPackagePurpose": "OPERATING-SYSTEM"}
        )
    packages += [_described(package) for package in sbom.packages]
    relationships = [_related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    relationships += [_related("SPDXRef-Image", "CONTAINS", str(package["SPDXID"])) for package in packages[1:]]
    created = datetime.datetime.fromtimestamp(subject.created_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "creationInfo": {"created": created, "creators": [f"Tool: {subject.tool}"]},
        "packages": packages,
        "relationships": relationships,
    }
    if sbom.notes:
        document["comment"] = "\n".join(sbom.notes)
    content = hashlib.sha256(encode_spdx(document)).hexdigest()
    name = uuid.uuid5(_NAMESPACE, content)
    document["documentNamespace"] = f"https://spdx.org/spdxdocs/{_name(subject.name)}-{name}"
    return document


def encode_spdx(document: dict[str, Any]) -> bytes:
    """JSON with sorted names."""
    return msgspec.json.encode(document, order="sorted")


def _image(subject: Subject) -> dict[str, Any]:
    algorithm, _, hexadecimal = subject.digest.partition(":")
    return _bare("SPDXRef-Image", subject.name) | {
        "versionInfo": subject.digest,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": algorithm.upper(), "checksumValue": hexadecimal}],
    }


def _described(package: Package) -> dict[str, Any]:
    identity = hashlib.sha256(f"{package.purl}\0{package.path}\0{package.source}".encode()).hexdigest()[:16]
    described = _bare(f"SPDXRef-Package-{package.kind}-{_name(package.name)}-{identity}", package.name) | {
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}
        ],
        "sourceInfo": f"acquired package info from {package.source}: /{package.path}",
    }
    if package.version:
        described["versionInfo"] = package.version
    if package.supplier:
        described["supplier"] = f"{'Person' if '@' in package.supplier else 'Organization'}: {package.supplier}"
    if package.homepage.startswith(("https://", "http://")) and " " not in package.homepage:
        described["homepage"] = package.homepage
    if is_expression(package.license):
        described["licenseDeclared"] = package.license
    elif package.license:
        described["licenseComments"] = f"declared as {package.license}"
    if package.layer:
        described["comment"] = f"layerID: {package.layer}"
    return described


def _bare(identity: str, name: str) -> dict[str, Any]:
    return {
        "SPDXID": identity,
        "name": clean(name),
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "supplier": _UNKNOWN,
    }


def _related(one: str, how: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}


def _name(text: str) -> str:
    """In the letters that identifiers of SPDX may have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in text)[:100] or "image"
