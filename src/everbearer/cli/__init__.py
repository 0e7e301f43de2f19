"""The ``everbearer`` command: one file per verb."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; say what to install if its extra is missing."""
    try:
        from everbearer.cli._main import command
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"{error.name} is missing: pip install 'everbearer[cli]'")
    command()
