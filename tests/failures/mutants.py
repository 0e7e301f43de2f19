"""``make mutants``: take each guard away, one at a time, and see its test go red.

A mutant is one row of mutants.toml: in one file a text that stands there exactly once
is replaced by another, and the test that is named must fail.  What is run is always a
copy of the package, whatever is installed; a run that imports anything else counts for
nothing.  Before the first mutant all of the tests must pass on the copy as it is.

    python tests/failures/mutants.py --jobs 2 -k "mode 16"
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = Path(__file__).with_suffix(".toml")
PACKAGE: Final = "everbearer"

_PATIENCE: Final = 90.0
_PATIENCE_WITH_ALL: Final = 600.0

# What the process that runs the tests ends with, beside 0.  Python's own 1, for an
# exception that nobody caught, is none of them.
_RED: Final = 70
_HUNG: Final = 71
_BROKEN: Final = 72
_ANOTHER_COPY: Final = 73

# Others would only take time to import, once for each mutant.
_PLUGINS: Final = ("pytest_asyncio.plugin", "pytest_timeout")
_OPTIONS: Final = (
    "-q",
    "-x",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-o",
    "timeout=0",
)


class Verdict(Enum):
    """What came of a mutant; the value is for the printed table."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    ROTTEN = "ROTTEN"
    HUNG = "HUNG"
    BROKEN = "BROKEN"


@frozen
class Mutant:
    """One guard, and how to take it away.

    Attributes:
        file: Below the repository's root.

        remove, put: What stands there exactly once, and what does instead.

        test: The test that must fail, as pytest names it.

        why: What goes wrong without the guard.

        mode, rule: Of the failure modes, or of the rules of the refresh protocol.

        hang: Whether to hang is to fail; never for want of a bound in the test.
    """

    file: str
    remove: str = field(repr=False)
    put: str = field(repr=False)
    test: str
    why: str
    mode: int | None = None
    rule: int | None = None
    hang: bool = False

    @property
    def name(self) -> str:
        """``mode 16`` or ``rule 5``."""
        return f"rule {self.rule}" if self.mode is None else f"mode {self.mode}"

    def matches(self, words: str) -> bool:
        """Whether all of *words*, but for letter case, are somewhere in the row."""
        row = f"{self.name} {self.file} {self.test} {self.why}".lower()
        return words.lower() in row

    def apply(self, root: Path) -> bool:
        """Change the file below *root*; False if the text is not there exactly once."""
        path = root / self.file
        text = path.read_text("utf-8") if path.is_file() else ""
        if text.count(self.remove) != 1 or self.remove == self.put:
            return False
        path.write_text(text.replace(self.remove, self.put), "utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        return True


@define
class Outcome:
    """What came of one mutant, after how many seconds, and what its run printed."""

    mutant: Mutant
    verdict: Verdict
    seconds: float = 0.0
    told: str = field(default="", repr=False)


def read(table: Path = TABLE) -> list[Mutant]:
    """The mutants of *table*, in its order."""
    return [Mutant(**row) for row in tomllib.loads(table.read_text("utf-8"))["mutant"]]


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A folder with nothing in it but a copy of *root*'s src."""
    with tempfile.TemporaryDirectory(prefix="everbearer-mutant-") as folder:
        shutil.copytree(root / "src", Path(folder, "src"))
        yield Path(folder)


def run(
    copy: Path, tests: Sequence[str], root: Path, patience: float
) -> tuple[int, str]:
    """Run *tests* of *root* on the package in *copy*; the exit code and the output."""
    command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(copy)]
    try:
        ended = subprocess.run(
            [*command, *tests],
            cwd=root,
            env={
                **environ,
                "PYTHONPATH": str(copy / "src"),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_ADDOPTS": "",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _HUNG, f"no end after {patience:.0f} s"
    return ended.returncode, ended.stdout


def judge(mutant: Mutant, root: Path = ROOT, patience: float = _PATIENCE) -> Outcome:
    """Make *mutant* of a copy of *root* and run its test."""
    started = time.monotonic()
    with copied(root) as copy:
        if not mutant.apply(copy):
            told = f"not exactly once in {mutant.file}:\n{mutant.remove}"
            return Outcome(mutant, Verdict.ROTTEN, told=told)
        code, told = run(copy, [mutant.test], root, patience)
    verdict = {
        0: Verdict.SURVIVED,
        _RED: Verdict.KILLED,
        _HUNG: Verdict.KILLED if mutant.hang else Verdict.HUNG,
    }.get(code, Verdict.BROKEN)
    return Outcome(mutant, verdict, time.monotonic() - started, told)


# ---- inside the process that runs the tests


class _Calls:
    """A pytest plugin: whether a test failed in its own body, or by not ending."""

    def __init__(self) -> None:
        self.failed = self.hung = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and report.when == "call":
            # As pytest-timeout ends a test that marks itself with a timeout.
            hung = "Failed: Timeout (" in report.longreprtext
            self.hung, self.failed = self.hung or hung, self.failed or not hung


def inside(copy: Path, tests: Sequence[str]) -> int:
    """Run *tests* in this process, on the package in *copy* or not at all."""
    import pytest

    import everbearer

    if not Path(everbearer.__file__).is_relative_to(copy):
        print(f"not a copy: {everbearer.__file__}")
        return _ANOTHER_COPY
    calls = _Calls()
    plugins = [option for name in _PLUGINS for option in ("-p", name)]
    code = pytest.main([*plugins, *_OPTIONS, *tests], plugins=[calls])
    if code != pytest.ExitCode.TESTS_FAILED:
        return 0 if code == pytest.ExitCode.OK else _BROKEN
    if calls.hung:
        return _HUNG
    return _RED if calls.failed else _BROKEN


# ---- the command


def green(mutants: Sequence[Mutant], root: Path, jobs: int) -> str:
    """What the tests print that do not pass on an unchanged copy; empty if all do."""
    tests = list(dict.fromkeys(mutant.test for mutant in mutants))
    parts = [part for n in range(jobs) if (part := tests[n::jobs])]
    with copied(root) as copy, ThreadPoolExecutor(jobs) as pool:
        ended = pool.map(lambda part: run(copy, part, root, _PATIENCE_WITH_ALL), parts)
        return "\n".join(told for code, told in ended if code != 0)


def report(outcomes: Sequence[Outcome]) -> bool:
    """Print what is worth reading; whether every mutant was killed."""
    bad = [each for each in outcomes if each.verdict is not Verdict.KILLED]
    for each in bad:
        print(f"\n==> {each.verdict.value}: {each.mutant.name}: {each.mutant.why}")
        print(f"    {each.mutant.file}, {each.mutant.test}\n{each.told}")
    print(f"\n{len(outcomes) - len(bad)} of {len(outcomes)} mutants killed")
    return not bad


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command; 0 if every mutant was killed."""
    parser = argparse.ArgumentParser("mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="at once (2)")
    parser.add_argument("-k", default="", metavar="WORDS", help="rows with these words")
    parser.add_argument("--table", type=Path, default=TABLE, help="mutants.toml")
    asked = parser.parse_args(arguments)
    mutants = [mutant for mutant in read(asked.table) if mutant.matches(asked.k)]
    if not mutants:
        print(f"no mutant with {asked.k!r}")
        return 1
    started = time.monotonic()
    if told := green(mutants, root, asked.jobs):
        print(f"{told}\nThe tests must pass before anything is taken away.")
        return 1
    print(f"all tests pass ({time.monotonic() - started:.0f} s)", flush=True)
    outcomes = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for outcome in pool.map(lambda mutant: judge(mutant, root), mutants):
            outcomes.append(outcome)
            name, verdict = outcome.mutant.name, outcome.verdict.value
            print(
                f"{name:8} {verdict:8} {outcome.seconds:5.1f} s  {outcome.mutant.why}",
                flush=True,
            )
    killed = report(outcomes)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if killed else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        # Not this folder, which Python puts first, but the one that tests are found in.
        sys.path[0] = str(Path.cwd())
        sys.exit(inside(Path(sys.argv[2]), sys.argv[3:]))
    sys.exit(main())
