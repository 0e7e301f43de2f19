"""``make fuzz``: coverage-guided fuzzing of everything that reads foreign bytes.

Each target runs in a process of its own.  It starts from the kept corpus and leaves it
alone; with ``--grow`` the inputs that reached new code go there.  An input that breaks
a promise is written to ``fuzz/found``: run it again with ``python fuzz TARGET -- FILE``
(what follows ``--`` is libFuzzer's), give it its fix and a test, and keep it in the
corpus.  Exits with 0 only if every target ran as often as it was told to.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
FOUND: Final = HERE / "found"
NAMES: Final = ("token_response", "api_answer", "callback", "record")

_OPTIONS: Final = (
    # Longer inputs repeat themselves, and cost executions.
    "-max_len=4096",
    # Seconds for one input, where none should take a hundredth: nobody may be able to
    # hold the event loop up.
    "-timeout=5",
    "-print_final_stats=1",
    f"-artifact_prefix={FOUND}/",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=250_000, help="of each (250000)")
    parser.add_argument("--seed", type=int, default=1, help="1; 0 for a random one")
    parser.add_argument("--grow", action="store_true", help="the kept corpus")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    return arguments


def _fuzz(name: str, options: list[str]) -> None:
    """Run one target in this process, which libFuzzer ends."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["everbearer"]):
        targets = importlib.import_module("targets").TARGETS
    # What libFuzzer starts itself again with, through a shell.
    again = shlex.join([sys.executable, str(HERE), name, "--"])
    atheris.Setup([again, *options], targets[name])
    atheris.Fuzz()


def _child(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, HERE, name, "--", *_OPTIONS, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def _run(name: str, arguments: argparse.Namespace) -> bool:
    """Fuzz one target, say what came of it, and whether all is well."""
    kept = str(HERE / "corpus" / name)
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as new:
        started = time.monotonic()
        child = _child(
            name,
            f"-runs={arguments.runs}",
            f"-seed={arguments.seed}",
            f"-dict={HERE / 'dictionaries' / name}.dict",
            new,
            kept,
        )
        seconds = time.monotonic() - started
        said = re.search(r"stat::number_of_executed_units:\s+(\d+)", child.stderr)
        executed = int(said[1]) if said else 0
        branches = re.findall(r" cov: (\d+)", child.stderr)[-1:]
        well = child.returncode == 0 and executed >= arguments.runs
        print(
            f"{name:<16}{executed:>10} executions{seconds:>8.1f} s"
            f"{branches[0] if branches else '?':>8} branches  "
            f"{'ok' if well else 'FAILED'}",
            flush=True,
        )
        if not well:
            print(child.stderr[-8000:], file=sys.stderr, flush=True)
        elif arguments.grow:
            _child(name, "-merge=1", kept, new).check_returncode()
    return well


def main() -> int:
    """Fuzz what was asked for."""
    if sys.argv[2:3] == ["--"] and sys.argv[1] in NAMES:
        _fuzz(sys.argv[1], sys.argv[3:])
        return 0
    arguments = _arguments()
    well = [_run(name, arguments) for name in arguments.targets or NAMES]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
