"""What an inventory finds: packages, where each was found, and the distribution that they belong to."""

from msgspec import Struct


class Distribution(Struct, frozen=True):
    """From os-release: `id` such as debian, `version` such as 12. Source: os-release(5)."""

    id: str
    version: str = ""
    name: str = ""


class Package(Struct, frozen=True, kw_only=True):
    """One package. `kind` is its type in a package URL; `source` what the finding rests on (DPKG database, ...).

    `path` is the file in the image that tells of it, and `layer` the digest of the layer that file is from.
    """

    kind: str
    name: str
    version: str
    purl: str
    source: str
    path: str
    layer: str = ""
    license: str = ""  # as the package declares it
    supplier: str = ""
    homepage: str = ""


class Sbom(Struct, frozen=True, kw_only=True):
    """The packages of one image, sorted and each once for every place where it is; `notes` say what was not read."""

    packages: tuple[Package, ...]
    distribution: Distribution | None = None
    notes: tuple[str, ...] = ()
