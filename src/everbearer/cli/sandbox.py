"""``everbearer sandbox``: the emulated provider on a loopback port."""

from __future__ import annotations

import asyncio

import click

from everbearer.cli._stop import asked_to_stop
from everbearer.sandbox import Sandbox

__all__ = ["sandbox"]


@click.command()
@click.option("--port", default=8410, show_default=True, help="0 takes a free one.")
@click.option(
    "--access-lifetime",
    default=3600.0,
    show_default=True,
    help="Seconds that an access token lives.",
)
@click.option(
    "--orders", default=250, show_default=True, help="Orders of each company."
)
def sandbox(port: int, access_lifetime: float, orders: int) -> None:
    """Emulate Billit on this machine until interrupted.

    The login page is at /Account/Logon, the token endpoint at /OAuth2/token and the
    API below /v1.  Use it with BILLIT.with_hosts(login=URL, token=URL, api=URL).
    """
    asyncio.run(_serve(port, access_lifetime, orders))
    click.echo("stopped")


async def _serve(port: int, access_lifetime: float, orders: int) -> None:
    async with Sandbox(
        port=port, access_lifetime=access_lifetime, orders_per_account=orders
    ) as running:
        click.echo(f"Billit sandbox on {running.url}")
        click.echo(f"client id      {running.settings.client_id}")
        click.echo(f"client secret  {running.settings.client_secret}")
        click.echo("press Ctrl+C to stop")
        await asked_to_stop()
