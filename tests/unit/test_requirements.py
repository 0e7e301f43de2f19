"""The versions that the gate tests with are those that the package declares."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(each)
    for each in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cli"])
]


def pins(name):
    """The versions in a compiled file, by package."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.split("==")[0]: line.split("==")[1].split(" ")[0] for line in lines}


@pytest.mark.parametrize("needed", DECLARED, ids=lambda each: each.name)
def test_the_oldest_is_the_lower_bound(needed):
    """What nobody tests with is not declared to work."""
    (lower,) = [each.version for each in needed.specifier if each.operator == ">="]
    assert Version(pins("oldest")[needed.name]) == Version(lower)


@pytest.mark.parametrize("needed", DECLARED, ids=lambda each: each.name)
def test_the_newest_is_allowed(needed):
    """Nor is a version refused that the tests run with."""
    assert needed.specifier.contains(pins("dev")[needed.name])


@pytest.mark.parametrize("name", ["dev", "oldest"])
def test_no_index_is_named(name):
    """Where packages come from is for pip's own configuration to say."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert re.search(r"://|^\s*-", text, re.MULTILINE) is None
