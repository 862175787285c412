"""RUN for another architecture: an emulator that the kernel finds by itself, or a clear word before anything runs."""

from pathlib import Path

import pytest

from pipeyard.errors import BuildFailed
from pipeyard.image.build.emulators import check_platform
from pipeyard.oci.platforms import native

FOREIGN = "s390x" if native().architecture != "s390x" else "riscv64"
ENTRY = "{enabled}\ninterpreter /usr/bin/qemu-{name}-static\nflags: {flags}\noffset 0\nmagic 7f454c46\n"


def register(folder: Path, name: str, *, enabled: str = "enabled", flags: str = "OCF") -> None:
    (folder / f"qemu-{name}").write_text(ENTRY.format(enabled=enabled, name=name, flags=flags))


def test_an_emulator_that_the_kernel_opens_itself_is_good(tmp_path: Path) -> None:
    register(tmp_path, FOREIGN)
    check_platform(f"linux/{FOREIGN}", tmp_path)
    check_platform(str(native()), tmp_path / "missing")


@pytest.mark.parametrize(
    ("architecture", "name"), [("arm64", "aarch64"), ("amd64", "x86_64"), ("mips64le", "mips64el")]
)
def test_emulators_are_found_under_the_names_of_qemu(tmp_path: Path, architecture: str, name: str) -> None:
    register(tmp_path, name, flags="F")
    check_platform(f"linux/{architecture}", tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"flags": "OC"}, "without the flag F"), ({"enabled": "disabled"}, "disabled"), (None, "cannot run programs")],
)
def test_what_would_fail_in_the_run_is_told_before_it(tmp_path: Path, change: dict[str, str] | None, told: str) -> None:
    if change is not None:
        register(tmp_path, FOREIGN, **change)
    with pytest.raises(BuildFailed, match=told) as failed:
        check_platform(f"linux/{FOREIGN}", tmp_path)
    assert "register" in failed.value.hint
