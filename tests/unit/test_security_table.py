"""Every row of SECURITY.md is shown by tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "SECURITY.md").read_text().splitlines()
    if line.startswith("| ")
][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_defence_is_tested(row):
    """A row names at least one test, and each is where it says."""
    _, defence, named = row
    assert defence
    tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
    assert tests
    assert re.sub(r"`[^`]*`", "", named).strip(" |") == ""
    for path, name in tests:
        module = ast.parse((ROOT / path).read_text())
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = {each.name for each in module.body if isinstance(each, functions)}
        assert name in found, f"{path} has no {name}"


def test_the_table_is_there():
    """Nothing is shown by no rows at all."""
    assert len(ROWS) > 10
