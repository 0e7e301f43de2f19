"""The command group."""

from __future__ import annotations

import click

from everbearer.cli.demo import demo
from everbearer.cli.keep import keep
from everbearer.cli.key import key
from everbearer.cli.sandbox import sandbox
from everbearer.cli.store import store
from everbearer.cli.sync import sync

__all__ = ["command"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="everbearer")
def command() -> None:
    """Call OAuth-protected invoicing APIs without ever seeing a token expire."""


for verb in (demo, keep, key, sandbox, store, sync):
    command.add_command(verb)
