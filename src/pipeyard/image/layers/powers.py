"""What this process may do to files, and so in which form a layer lies in a folder.

root            owners are kept, devices are made, overlayfs keeps its notes in trusted.overlay.*
confined        root without CAP_SYS_ADMIN, as in a default container: the same, but nothing is mounted, and notes are
                in user.overlay.* because trusted attributes are forbidden
sub-ids         root of a user namespace with a range of ids: owners are kept as far as the range goes, no devices,
                overlayfs keeps its notes in user.overlay.* (mount option userxattr)
single          one id: every file belongs to us, and its owner in the image is written down in user.pipeyard.owner,
                which overlayfs copies up with the file. Symlinks cannot carry it and count as root's.
"""

import os
import stat
from functools import cache
from typing import Literal

from msgspec import Struct

Powers = Literal["root", "confined", "sub-ids", "single"]

OWNER_XATTR = "user.pipeyard.owner"


_SYS_ADMIN = 1 << 21


class Form(Struct, frozen=True):
    """How folders of layers are written and read; folders of different powers cannot be mixed in one stack."""

    powers: Powers

    @property
    def keeps_owners(self) -> bool:
        return self.powers != "single"

    @property
    def makes_devices(self) -> bool:
        return self.powers in ("root", "confined")

    @property
    def overlay_prefix(self) -> str:
        return "trusted.overlay." if self.powers == "root" else "user.overlay."


def powers_from(euid: int, uid_map: str, effective: int = -1) -> Powers:
    """From the effective user id, the text of /proc/self/uid_map and the effective capabilities (-1: all)."""
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines() if line.strip()]
    if euid != 0:
        return "single"
    if ranges == [(0, 0, 4294967295)]:
        return "root" if effective & _SYS_ADMIN else "confined"
    return "sub-ids" if sum(size for _, _, size in ranges) > 1 else "single"


@cache
def form_of_this_process() -> Form:
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        uid_map = file.read()
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        effective = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), -1)
    return Form(powers_from(os.geteuid(), uid_map, effective))


def owner_of(file: str, status: os.stat_result, form: Form) -> tuple[int, int]:
    """The owner in the image of a file that lies in a layer's folder."""
    if form.powers != "root" and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        try:
            uid, _, gid = os.getxattr(file, OWNER_XATTR, follow_symlinks=False).partition(b":")
            return int(uid), int(gid)
        except (OSError, ValueError):
            pass
    return (status.st_uid, status.st_gid) if form.keeps_owners else (0, 0)
