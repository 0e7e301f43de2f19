"""Accounts that are connected already."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from everbearer._clock import SystemClock, instant
from everbearer.errors import ConfigurationError
from everbearer.providers import BILLIT, Registration
from everbearer.sandbox import IssuedPair
from everbearer.tokens import Token

if TYPE_CHECKING:
    from everbearer.client import Client
    from everbearer.providers import Provider
    from everbearer.sandbox import Sandbox
    from everbearer.transport import AccountSession

__all__ = ["connected", "registration_at"]

_LONG = timedelta(days=1)


async def connected(
    client: Client,
    provider: str,
    account: str,
    *,
    token: Token | IssuedPair | None = None,
) -> AccountSession:
    """Connect an account without a login page; return its session.

    Args:
        client: It is opened if need be.

        provider: Name of the registration.

        account: The account id; what was stored for it is replaced.

        token: What the account has: a `Token`, or what `Sandbox.issue` gave.  By
            default ``access-token-of-<account>``, good for a day so that no token
            endpoint is asked, with ``refresh-token-of-<account>`` to ask it with.

    Raises:
        ConfigurationError: No such registration, not an account id, or no token.

        StoreError: It cannot be stored.
    """
    if token is None:
        token = _made_up(account)
    elif isinstance(token, IssuedPair):
        ends = SystemClock().wall() + token.expires_in
        token = Token(token.access_token, token.refresh_token, instant(ends))
    await client.adopt(provider, account, token)
    return client.session(provider, account)


def _made_up(account: str) -> Token:
    ends = instant(SystemClock().wall() + _LONG.total_seconds())
    return Token(f"access-token-of-{account}", f"refresh-token-of-{account}", ends)


def registration_at(
    sandbox: Sandbox, provider: Provider = BILLIT, *, name: str = ""
) -> Registration:
    """The registration that *sandbox* knows, at *provider* with the sandbox's hosts.

    Args:
        sandbox: A running one.

        provider: Which one it plays.

        name: Of the registration, by default the provider's.

    Raises:
        ConfigurationError: The sandbox allows no redirect URI.
    """
    if not sandbox.settings.redirect_uris:
        raise ConfigurationError("the sandbox has no redirect_uris in its settings")
    return Registration(
        provider.with_hosts(sandbox.login_url, sandbox.token_url, sandbox.api_url),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
        sandbox.settings.redirect_uris[0].rstrip("*"),
        name=name or provider.name,
    )
