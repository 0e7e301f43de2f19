"""A quirk of a provider is a field of its description, never asked of its name."""

from __future__ import annotations

import ast
from pathlib import Path

import everbearer
from everbearer import providers

SOURCE = Path(everbearer.__file__).parent
NAMES = {
    each.name
    for name in providers.__all__
    if isinstance(each := getattr(providers, name), providers.Provider)
}


def compared_texts(path: Path) -> set[str]:
    """Every text that the file compares something with."""
    return {
        operand.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare)
        for operand in (node.left, *node.comparators)
        if isinstance(operand, ast.Constant) and isinstance(operand.value, str)
    }


def test_no_code_asks_for_a_providers_name() -> None:
    """``if provider.name == "billit"`` is nowhere."""
    asked = {
        str(path.relative_to(SOURCE)): found
        for path in SOURCE.rglob("*.py")
        # The contract for stores is made of tests, which look at what they stored.
        if "_contract" not in path.parts and (found := compared_texts(path) & NAMES)
    }
    assert asked == {}
