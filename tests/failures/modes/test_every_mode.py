"""Each of the 25 failure modes has its test, its mutant and its place in the docs."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PAGE = (ROOT / "docs/explanation/what-can-go-wrong.md").read_text("utf-8")
MODES = tomllib.loads((HERE / "modes.toml").read_text("utf-8"))["mode"]
LAST_SECTION = "What no client can save"


def named(mode) -> str:
    return f"{mode['number']:02}"


def file_of(mode) -> Path:
    """The one file of tests of *mode*."""
    [file] = HERE.glob(f"test_{named(mode)}_*.py")
    return file


def sections() -> dict[str, str]:
    """What stands under each heading of the page, in their order."""
    _, *parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    split = (part.partition("\n") for part in parts)
    return {heading: text.strip() for heading, _, text in split}


@pytest.fixture(name="sources", scope="module")
def _sources() -> str:
    return "\n".join(
        file.read_text("utf-8") for file in (ROOT / "src/everbearer").rglob("*.py")
    )


def test_there_are_25() -> None:
    """In the table as on the page, each once and in order, and then what is left."""
    assert [mode["number"] for mode in MODES] == list(range(1, 26))
    headings = [f"{mode['number']}. {mode['name']}" for mode in MODES]
    assert list(sections()) == [*headings, LAST_SECTION]
    index = (ROOT / "docs/index.md").read_text("utf-8")
    assert "\nexplanation/what-can-go-wrong\n" in index


@pytest.mark.parametrize("mode", MODES, ids=named)
def test_it_is_provoked(mode) -> None:
    """One file, whose docstring says which mode it is, and tests in it."""
    tree = ast.parse(file_of(mode).read_text("utf-8"))
    assert ast.get_docstring(tree).startswith(f"Mode {mode['number']}: ")
    assert any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        for node in tree.body
    )


@pytest.mark.parametrize("mode", MODES, ids=named)
def test_its_guard_is_taken_away(mode) -> None:
    """`make mutants` has a patch for which a test of this very file goes red."""
    table = (ROOT / "tests/failures/mutants.toml").read_text("utf-8")
    path = file_of(mode).relative_to(ROOT).as_posix()
    assert any(
        mutant.get("mode") == mode["number"] and mutant["test"].startswith(f"{path}::")
        for mutant in tomllib.loads(table)["mutant"]
    )


@pytest.mark.parametrize("mode", MODES, ids=named)
def test_the_page_says_the_same(mode) -> None:
    """Word by word, and it names the file of tests."""
    told = {name: text.strip() for name, text in mode.items() if name != "number"}
    written = (
        f"{told['elsewhere']}\n\n"
        f"**What you see.**\n{told['seen']}\n\n"
        f"**What to do.**\n{told['todo']}\n\n"
        f"**Test:** `{file_of(mode).name}`"
    )
    assert sections()[f"{mode['number']}. {mode['name']}"] == written


@pytest.mark.parametrize("mode", MODES, ids=named)
def test_what_is_seen_is_what_is_tested(mode, sources) -> None:
    """Errors, events and their words stand in its tests, texts in the code."""
    tests = file_of(mode).read_text("utf-8")
    for quoted in re.findall(r"`([^`]+)`", mode["seen"]):
        assert quoted in (sources if " " in quoted else tests), quoted
