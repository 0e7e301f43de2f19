"""The fuzz targets hold for every kept input, and fuzzing is not green by accident."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
NAMES = sorted(folder.name for folder in (FUZZ / "corpus").iterdir())

# Stands in for atheris: libFuzzer, and what it says in the end.
ATHERIS = """
import contextlib, sys
def instrument_imports(include): return contextlib.nullcontext()
def Setup(arguments, target): target(b"")
def Fuzz():
    print("stat::number_of_executed_units: {executed}", file=sys.stderr)
    sys.exit({code})
"""


def run(*arguments, instead):
    """``python fuzz``, with a folder of modules that come before the installed ones."""
    path = os.pathsep.join([str(instead), *sys.path])
    return subprocess.run(
        [sys.executable, FUZZ, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("name", NAMES)
def test_kept_inputs(name):
    """What broke a promise once, or leads somewhere special, breaks none now."""
    spec = importlib.util.spec_from_file_location("targets", FUZZ / "targets.py")
    targets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(targets)
    inputs = [path.read_bytes() for path in (FUZZ / "corpus" / name).iterdir()]
    assert len(inputs) > 4
    for data in inputs:
        targets.TARGETS[name](data)


@pytest.mark.parametrize(
    ("atheris", "code"),
    [
        pytest.param(ATHERIS.format(executed=100, code=0), 0, id="all went well"),
        pytest.param(ATHERIS.format(executed=100, code=77), 1, id="a promise broken"),
        pytest.param(ATHERIS.format(executed=99, code=0), 1, id="too few"),
        pytest.param(ATHERIS.format(executed=0, code=0), 1, id="none"),
        pytest.param("raise ImportError('not here')", 1, id="no atheris"),
    ],
)
def test_not_green_by_accident(tmp_path, atheris, code):
    """It fails unless the target ran as often as it was told to, and well."""
    (tmp_path / "atheris.py").write_text(atheris)
    ran = run("record", "--runs=100", instead=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert ran.stdout.startswith("record ")
    assert ran.stdout.endswith(" ok\n" if code == 0 else " FAILED\n")
