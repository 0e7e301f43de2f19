"""``everbearer key``: keys that seal the token store."""

from __future__ import annotations

import click

from everbearer import Keyring

__all__ = ["key"]


@click.group()
def key() -> None:
    """Make keys that seal the token store."""


@key.command()
def new() -> None:
    """Print a new key for EVERBEARER_KEYS.

    Put it in front of the keys that are there, with a comma, and keep those until no
    record is sealed with them any more.
    """
    click.echo(Keyring.generate_key())
