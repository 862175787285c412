"""Which platforms' programs a RUN can start here: this machine's own, related ones, and those of an emulator."""

from pathlib import Path

from pipeyard.errors import BuildFailed
from pipeyard.oci import parse_platform
from pipeyard.oci.platforms import native

_QEMU = {
    "amd64": "x86_64", "arm64": "aarch64", "386": "i386", "mips64le": "mips64el", "mipsle": "mipsel",
    "loong64": "loongarch64",
}  # fmt: skip
_COMPATIBLE = {"amd64": {"386"}, "arm64": {"arm"}}


def check_platform(text: str, registered: Path = Path("/proc/sys/fs/binfmt_misc")) -> None:
    """Raises BuildFailed when this machine cannot run programs of the platform, natively or by an emulator.

    The emulator has to be registered with the flag F: otherwise the kernel looks for it within the image.
    """
    wanted, here = parse_platform(text), native()
    if wanted.architecture == here.architecture or wanted.architecture in _COMPATIBLE.get(here.architecture, ()):
        return
    name = f"qemu-{_QEMU.get(wanted.architecture, wanted.architecture)}"
    complaint = f"this machine ({here}) cannot run programs for {wanted}"
    try:
        told = (registered / name).read_text().splitlines()
    except OSError as error:
        raise BuildFailed(
            complaint,
            hint="register an emulator (binfmt_misc with qemu-user-static), or build on such a machine",
        ) from error
    flags = next((line.partition(":")[2].strip() for line in told if line.startswith("flags:")), "")
    if "enabled" not in told or "F" not in flags:
        raise BuildFailed(
            f"{complaint}: {name} is registered, but {'without the flag F' if 'enabled' in told else 'disabled'}",
            hint="register the emulator again: `update-binfmts --enable`, or reinstall qemu-user-static",
        )
