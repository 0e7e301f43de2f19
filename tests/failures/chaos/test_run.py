"""The chaos run itself: it ends well, and it can end badly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Of these the last 13 are the quiet end, which is over as soon as all is well.
SMALL = ["--seconds=18", "--hurry", "--workers=3", "--accounts=3", "--seed=5"]


def chaos(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.failures.chaos", *SMALL, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(120)
def test_it_ends_well() -> None:
    """Five seconds of every fault: nothing is reused, lost or undue."""
    run = chaos()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "kill" in run.stdout
    assert run.stderr == ""


@pytest.mark.timeout(120)
def test_it_notices_that_the_lease_is_gone() -> None:
    """Without the lease two workers spend one token, and the run says so."""
    run = chaos("--break=lease")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "refresh tokens were used twice" in run.stdout
    assert "again: --store sqlite --seed 5" in run.stdout
