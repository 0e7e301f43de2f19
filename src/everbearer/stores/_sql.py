"""Named statements, read from the ``.sql`` files in ``stores/sql``."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse_statements", "statements"]

# "-- name: load", then comment lines that say what for, then the statement.
_NAMED: Final = re.compile(
    r"^-- name: (?P<name>\w+)\n(?P<purpose>(?:--.*\n)+)(?P<sql>(?:(?!-- name:).*\n?)*)",
    re.MULTILINE,
)


def statements(dialect: str) -> Mapping[str, str]:
    """The statements of ``sql/<dialect>.sql`` by name."""
    folder = files("everbearer.stores") / "sql"
    return parse_statements((folder / f"{dialect}.sql").read_text("utf-8"))


def parse_statements(text: str) -> Mapping[str, str]:
    """Split *text* into statements by name.

    Raises:
        ValueError: A name comes twice, or a statement lacks its line of purpose.
    """
    found: dict[str, str] = {}
    for match in _NAMED.finditer(text):
        if match["name"] in found:
            raise ValueError(f"two statements are called {match['name']}")
        found[match["name"]] = match["sql"].strip()
    if len(found) != text.count("-- name:"):
        raise ValueError("a statement lacks the line that says what it is for")
    return found
