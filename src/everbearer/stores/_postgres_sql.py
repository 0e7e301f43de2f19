"""The statements of ``sql/postgres.sql`` as PostgreSQL takes them."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from everbearer.errors import ConfigurationError
from everbearer.stores._sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Names", "Statement", "statements_for"]

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")
_NAME: Final = re.compile(r"@([a-z]+)")
# What needs no quoting, and leaves room for what is put behind a prefix, in the bytes
# that PostgreSQL allows a name (its manual, section 4.1.1).
_LONGEST: Final = 63
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")


@frozen
class Statement:
    """A statement with numbered parameters.

    Attributes:
        text: For the server.

        names: Of its parameters, in their order.
    """

    text: str
    names: tuple[str, ...]

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Those of *values* that it takes."""
        return tuple(values[name] for name in self.names)


@frozen
class Names:
    """Where the tables are.

    Attributes:
        schema: PostgreSQL schema; it must exist.

        prefix: What the names of tables, index and channel begin with.

    Raises:
        ConfigurationError: One is not lower case letters, digits and underscores.
    """

    schema: str
    prefix: str

    def __attrs_post_init__(self) -> None:
        for what, name in (("schema", self.schema), ("prefix", self.prefix)):
            if not isinstance(name, str) or not _PLAIN.fullmatch(name):
                raise ConfigurationError(
                    f"the {what} of a PostgreSQL store is 1 to 40 lower case letters, "
                    "digits and underscores, not beginning with a digit"
                )

    def table(self, name: str) -> str:
        """The full name of a table."""
        return f"{self.schema}.{self.prefix}{name}"

    @property
    def channel(self) -> str:
        """Where changes are told."""
        name = f"{self.schema}.{self.prefix}changed"
        if len(name) <= _LONGEST:
            return name
        return f"everbearer_{sha256(name.encode()).hexdigest()[:32]}"

    def of(self, name: str) -> str:
        """What ``@name`` in a statement stands for."""
        # An index is in the schema of its table, and is never named with it.
        return f"{self.prefix}records_due" if name == "due" else self.table(name)


def statements_for(names: Names) -> Mapping[str, Statement]:
    """Every statement by name, about the tables that *names* says."""
    return {
        name: _numbered(_NAME.sub(lambda found: names.of(found[1]), text))
        for name, text in statements("postgres").items()
    }


def _numbered(text: str) -> Statement:
    order: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${order.setdefault(found[1], len(order) + 1)}"

    numbered = _PARAMETER.sub(number, text)
    return Statement(numbered, tuple(order))
