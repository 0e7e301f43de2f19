"""The rows of mutants.toml fit the code as it is, and their runner can be trusted."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# Rules of which the model of the protocol found the counterexample.
COUNTEREXAMPLES = {*range(2, 20)}


def _runner():
    """mutants.py, which is a script and no module of a package."""
    spec = importlib.util.spec_from_file_location("mutants", HERE / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


mutants = _runner()
TABLE = mutants.read()


# ---- the table


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant):
    """What it removes stands there exactly once, and its test is there."""
    text = (ROOT / mutant.file).read_text("utf-8")
    assert text.count(mutant.remove) == 1
    ast.parse(text.replace(mutant.remove, mutant.put))
    path, _, name = mutant.test.partition("::")
    tested = ast.parse((ROOT / path).read_text("utf-8"))
    assert name.partition("[")[0] in {
        node.name
        for node in tested.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_mode_and_every_counterexample_has_one():
    """No failure mode with a test, and no rule that the model needs, goes without."""
    files = (HERE / "modes").glob("test_[0-9][0-9]_*.py")
    modes = {int(re.match(r"test_(\d\d)", file.name)[1]) for file in files}
    assert {each.mode for each in TABLE if each.mode} >= modes
    assert {each.rule for each in TABLE if each.rule} >= COUNTEREXAMPLES


# ---- the runner


CODE = "def answer():\n    return 42\n"
TESTS = """
import everbearer, pytest

@pytest.fixture
def broken():
    if everbearer.answer() != 42:
        raise OSError("a fixture, not a test")

def test_it():
    assert everbearer.answer() == 42

def test_nothing():
    pass

def test_with_a_fixture(broken):
    pass

@pytest.mark.timeout(1)
def test_that_waits():
    while everbearer.answer() != 42:
        pass
"""


@pytest.fixture(name="project")
def _project(tmp_path):
    """A project with a package that has the right name, and tests for it."""
    package = tmp_path / "src" / "everbearer"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CODE)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def mutant(test="test_it", remove="42", put="43", **more):
    """A mutant of that project."""
    file = "src/everbearer/__init__.py"
    return mutants.Mutant(file, remove, put, f"test_it.py::{test}", "", 1, **more)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        pytest.param(mutant(), "KILLED", id="killed"),
        pytest.param(mutant("test_nothing"), "SURVIVED", id="survivor"),
        pytest.param(mutant(remove="41"), "ROTTEN", id="not there"),
        pytest.param(mutant(remove="e"), "ROTTEN", id="there twice"),
        pytest.param(mutant(put="42"), "ROTTEN", id="no change"),
        pytest.param(mutant(put=")"), "BROKEN", id="not to be imported"),
        pytest.param(mutant("test_with_a_fixture"), "BROKEN", id="broken fixture"),
        pytest.param(mutant("test_that_waits"), "HUNG", id="no end"),
        pytest.param(mutant("test_that_waits", hang=True), "KILLED", id="wanted"),
    ],
)
def test_what_comes_of_a_mutant(project, made, verdict):
    """Only a test that fails in its own body kills; the original is left alone."""
    outcome = mutants.judge(made, project)
    assert outcome.verdict.name == verdict, outcome.told
    assert (project / "src/everbearer/__init__.py").read_text() == CODE


@pytest.mark.parametrize(
    ("put", "test", "code", "told"),
    [
        pytest.param("43", "test_nothing", 1, "SURVIVED: mode 1: why", id="survivor"),
        pytest.param("43", "test_gone", 1, "must pass before", id="not green"),
    ],
)
def test_the_command(project, capsys, put, test, code, told):
    """It ends with 1 and a reason unless each of them was killed."""
    table = project / "mutants.toml"
    table.write_text(
        "[[mutant]]\nmode = 1\nwhy = 'why'\nfile = 'src/everbearer/__init__.py'\n"
        f"remove = '42'\nput = '{put}'\ntest = 'test_it.py::{test}'\n"
    )
    assert mutants.main(["--table", str(table)], project) == code
    assert told in capsys.readouterr().out


def test_another_package_is_never_judged(project, tmp_path_factory, capfd):
    """Tests that import what is installed instead of the copy count for nothing."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "src").mkdir()
    code, told = mutants.run(elsewhere, ["test_it.py"], project, 30)
    assert code == mutants._ANOTHER_COPY
    assert "not a copy" in told


def test_words_choose_rows():
    """``-k`` looks at the whole row."""
    assert mutant().matches("MODE 1")
    assert not mutant().matches("rule 1")
    assert mutants.main(["-k", "no row says this"]) == 1
