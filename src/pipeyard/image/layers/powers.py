"""What this process may do to files, and so in which form a layer lies in a folder.

root            owners are kept, devices are made, overlayfs keeps its notes in trusted.overlay.*
sub-ids         root of a user namespace with a range of ids: owners are kept as far as the range goes, no devices,
                overlayfs keeps its notes in user.overlay.* (mount option userxattr)
single          one id: every file belongs to us, and its owner in the image is written down in user.pipeyard.owner,
                which overlayfs copies up with the file. Symlinks cannot carry it and count as root's.
"""

import os
from functools import cache
from typing import Literal

from msgspec import Struct

Powers = Literal["root", "sub-ids", "single"]

OWNER_XATTR = "user.pipeyard.owner"


class Form(Struct, frozen=True):
    """How folders of layers are written and read; folders of different powers cannot be mixed in one stack."""

    powers: Powers

    @property
    def keeps_owners(self) -> bool:
        return self.powers != "single"

    @property
    def makes_devices(self) -> bool:
        return self.powers == "root"

    @property
    def overlay_prefix(self) -> str:
        return "trusted.overlay." if self.powers == "root" else "user.overlay."


def powers_from(euid: int, uid_map: str) -> Powers:
    """From the effective user id and the text of /proc/self/uid_map."""
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines() if line.strip()]
    if euid != 0:
        return "single"
    if ranges == [(0, 0, 4294967295)]:
        return "root"
    return "sub-ids" if sum(size for _, _, size in ranges) > 1 else "single"


@cache
def form_of_this_process() -> Form:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return Form(powers_from(os.geteuid(), file.read()))
