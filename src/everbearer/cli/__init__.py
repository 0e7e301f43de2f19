"""The ``everbearer`` command: one file per verb."""

from __future__ import annotations

import sys

from everbearer.errors import EverbearerError

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error that says what to do needs no traceback."""
    try:
        from everbearer.cli._main import command
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"{error.name} is missing: pip install 'everbearer[cli]'")
    told: list[str] = []
    try:
        command()
    except* EverbearerError as group:  # A pool of tasks may have failed at once.
        told = sorted({f"error: {error}" for error in _leaves(group)})
    if told:
        sys.exit("\n".join(told))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
