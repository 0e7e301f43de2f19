"""The one API call that Everbearer makes by itself: what an account may act for.

It is asked when an account connects; and, because it does nothing, to find out which
of two access tokens the API takes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from everbearer.token_endpoint import parsed, storable
from everbearer.transport._callers import middlewares_of
from everbearer.transport._middleware import AccountMiddleware
from everbearer.transport._peek import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from everbearer.events import Hooks
    from everbearer.providers import AccountFacts, Provider
    from everbearer.tokens import AccountKey, TokenRecord
    from everbearer.transport._http import Http
    from everbearer.transport._origin import ApiBase

__all__ = ["is_accepted", "read_facts"]

_log = logging.getLogger("everbearer.transport")

PATIENCE: Final = 10.0
"""Seconds for the whole call; a user waits for the page behind it."""

_OK: Final = 200


@define(repr=False)
class _OneToken:
    """The token that was just granted, as a source: a question spends no refresh."""

    access_token: str | None

    def current(self, margin: float = 0.0) -> str | None:  # noqa: ARG002 - as it is
        return self.access_token

    def accepted(self, access_token: str) -> None:
        """Nobody counts."""

    def reject(self, rejected: str) -> None:
        """The account's first own call finds out."""

    def one_shot(self, change: int) -> None:
        """It has no body."""

    async def replacement_for(
        self,
        rejected: str | None,  # noqa: ARG002 - there is no other
        *,
        revoked: bool = False,  # noqa: ARG002 - as TokenSource has it
        margin: float = 0.0,  # noqa: ARG002 - as TokenSource has it
    ) -> str | None:
        return None


@define(repr=False)
class _Witness(_OneToken):
    """Notes what becomes of the token: True, False, or None while nothing is known."""

    verdict: bool | None = None

    def accepted(self, access_token: str) -> None:  # noqa: ARG002 - there is one
        self.verdict = True

    def reject(self, rejected: str) -> None:  # noqa: ARG002 - there is one
        self.verdict = False

    async def replacement_for(
        self,
        rejected: str | None,  # noqa: ARG002 - there is no other
        *,
        revoked: bool = False,  # noqa: ARG002 - as TokenSource has it
        margin: float = 0.0,  # noqa: ARG002 - as TokenSource has it
    ) -> str | None:
        self.verdict = False
        return None


async def is_accepted(
    access_token: str,
    key: AccountKey,
    provider: Provider,
    base: ApiBase,
    http: Http,
    hooks: Hooks,
) -> bool | None:
    """Whether the API takes *access_token*, judged by a call that does nothing.

    The call is `Provider.account_facts`, sent once.  Nothing is raised.

    Returns:
        None where the provider has no such call, or the answer says nothing of it.
    """
    facts = provider.account_facts
    if facts is None:
        return None
    witness = _Witness(access_token)
    middleware = AccountMiddleware(
        witness, key, provider, base, hooks, identity={}, respects="none"
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await _ask(facts, middleware, base, await http.open())
    except Exception as error:  # noqa: BLE001 - a given session's middlewares raise any
        _log.info(
            "%s/%s: not found out whether a token lives: %s",
            *key,
            type(error).__name__,
            extra={"provider": key.provider, "account": key.account},
        )
    return witness.verdict


async def read_facts(
    record: TokenRecord, provider: Provider, base: ApiBase, http: Http, hooks: Hooks
) -> Mapping[str, Any]:
    """What the API tells of the account that *record* is of, under its kept name.

    Sent once, to the API's origin, with the record's access token and no identity
    header; no redirect is followed.  Any trouble is logged and never raised.

    Returns:
        One member; or none, if the provider has no such call or gave no JSON within
        64 KiB and `PATIENCE`.
    """
    facts = provider.account_facts
    if facts is None or record.token.access_token is None:
        return {}
    source = _OneToken(record.token.access_token)
    middleware = AccountMiddleware(
        source, record.key, provider, base, hooks, identity={}, respects="none"
    )
    try:
        async with asyncio.timeout(PATIENCE):
            answer, why = await _ask(facts, middleware, base, await http.open())
    except Exception as error:  # noqa: BLE001 - a given session's middlewares raise any
        answer, why = None, type(error).__name__
    if answer is None:
        _log.info(
            "%s/%s: connected, but %s was not read: %s",
            *record.key,
            facts.keep_as,
            why,
            extra={"provider": record.key.provider, "account": record.key.account},
        )
        return {}
    return {facts.keep_as: answer}


async def _ask(
    facts: AccountFacts,
    middleware: AccountMiddleware,
    base: ApiBase,
    session: aiohttp.ClientSession,
) -> tuple[object, str]:
    """The JSON that came, or None and why."""
    response = await session.get(
        base.resolve(facts.path),
        headers={"Accept": "application/json"},
        allow_redirects=False,
        raise_for_status=False,
        middlewares=(middleware, *middlewares_of(session)),
    )
    try:
        if response.status != _OK:
            return None, f"HTTP status {response.status}"
        body = await take(response, patience=PATIENCE)
        # Servers label JSON as HTML, and HTML as JSON.
        answer = parsed(body or b"", response.headers.get("Content-Type", ""))
        if answer is None or not storable(answer):
            return None, "too long or broken off" if body is None else "no JSON"
        return answer, ""
    finally:
        response.close()
