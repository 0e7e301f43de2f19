"""The benchmarks run, and notice what must never happen.  No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

CHEAT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import contestants, fast_path
from attrs import evolve
honest = contestants._by_turns
def swapped(name, url, each):
    fair = honest(name, url, each)
    ours = name == contestants.OURS_EACH
    return evolve(fair, accounts=fair.accounts[::-1]) if ours else fair
contestants._by_turns = swapped
section = asyncio.run(fast_path.measure(rounds=1, calls=16, accounts=2))
print(len(section.wrong))
"""


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        pytest.param(
            "fast",
            ["--rounds=2", "--calls=16", "--accounts=20", "--processes=2"],
            id="fast path",
        ),
        pytest.param("wake", ["--rounds=2", "--waiters=50"], id="waking"),
        pytest.param("pool", ["--calls=1", "--callers=150"], id="pool"),
    ],
)
def test_each_runs(tmp_path, name, sizes):
    """With small sizes it ends well and writes its figures."""
    written = tmp_path / "figures.json"
    run = subprocess.run(
        [sys.executable, BENCHMARKS, f"--only={name}", f"--json={written}", *sizes],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    section = json.loads(written.read_text())[name]
    assert section["wrong"] == []
    assert section["figures"]


def test_a_wrong_token_is_noticed():
    """A call that carries another account's token makes the run fail."""
    run = subprocess.run(
        [sys.executable, "-c", CHEAT, BENCHMARKS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert int(run.stdout) > 16, run.stderr
