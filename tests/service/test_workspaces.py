"""What killed processes left in the folders that they worked in."""

import os
import subprocess
import sys
import time
from pathlib import Path

from pipeyard.service.workspaces import working


def test_what_the_killed_left_goes_once_nobody_works(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from pipeyard.service.workspaces import working\n"
        "with working(home := Path(sys.argv[1])):\n"
        "    (home / 'work/build-1').mkdir(parents=True); print(flush=True); sys.stdin.read()\n"
    )
    left = tmp_path / "work/build-1"
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with working(tmp_path):
            assert left.is_dir()
        other.kill()
        other.wait()
        trials = [tmp_path / "cache/sandbox" / name for name in ("trial-1-2", "trial-3-4")]
        for trial in trials:
            trial.mkdir(parents=True)
        (tmp_path / ".work-killed").mkdir()
        os.utime(trials[0], (time.time() - 3600,) * 2)
        with working(tmp_path), working(tmp_path):
            assert not left.exists()
            assert [trial.exists() for trial in trials] == [False, True]
            assert list(tmp_path.glob(".work-*")) == []
    finally:
        other.kill()
        other.communicate()
