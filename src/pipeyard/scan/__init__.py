"""What is in an image: `inventory(files) -> Sbom`, and an SBOM as an SPDX document."""

from pipeyard.scan.inventory import ScannedFile, inventory, tells_of_packages
from pipeyard.scan.sbom import Distribution, Package, Sbom
from pipeyard.scan.spdx import Subject, encode_spdx, spdx_document

__all__ = [
    "Distribution",
    "Package",
    "Sbom",
    "ScannedFile",
    "Subject",
    "encode_spdx",
    "inventory",
    "spdx_document",
    "tells_of_packages",
]
