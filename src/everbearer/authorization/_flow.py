"""`client.authorization`: start, the user's visit, finish."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from everbearer._clock import instant
from everbearer._redact import fingerprint
from everbearer.authorization._callback import CallbackValues, read_callback
from everbearer.authorization._pkce import challenge, new_verifier
from everbearer.authorization._request import authorization_url
from everbearer.errors import (
    CallbackError,
    ConfigurationError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from everbearer.token_endpoint import (
    CodeGrant,
    Granted,
    Misconfigured,
    NotSent,
    Refused,
    Throttled,
)
from everbearer.tokens import PendingAuthorization, account_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from everbearer._clock import Clock
    from everbearer.providers import Registration
    from everbearer.stores import TokenStore
    from everbearer.token_endpoint import Outcome, TokenEndpoint
    from everbearer.tokens import AccountKey, AccountStatus, Token

__all__ = ["Authorization", "AuthorizationRequest"]

_log = logging.getLogger("everbearer.authorization")

_TOTAL = 60.0
_CONNECT = 10.0
_RETRY_AFTER = 5.0


@frozen
class AuthorizationRequest:
    """A started authorization.

    Attributes:
        url: Where to send the user.

        state: Keep it in the user's browser session, and give it to `finish`.

        expires_at: Until when the callback is accepted (aware, UTC).
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    expires_at: datetime


class Authorization:
    """Connects accounts: the authorization code grant of RFC 6749 section 4.1."""

    def __init__(
        self,
        registrations: Mapping[str, Registration],
        open_store: Callable[[], Awaitable[TokenStore]],
        endpoint: TokenEndpoint,
        clock: Clock,
        save: Callable[[AccountKey, Token, Registration], Awaitable[AccountStatus]],
    ) -> None:
        self._registrations = registrations
        self._open_store = open_store
        self._endpoint = endpoint
        self._clock = clock
        self._save = save
        self._exchanges: set[asyncio.Task[AccountStatus]] = set()

    async def start(
        self,
        provider: str,
        account: str,
        *,
        scopes: Sequence[str] | None = None,
        extra: Mapping[str, str] | None = None,
        lifetime: timedelta = timedelta(hours=1),
    ) -> AuthorizationRequest:
        """Make a connect link for *account*.

        The pending state is in the store before the link is given out, so that the
        callback may arrive at another process.

        Args:
            provider: Name of the registration.

            account: Under which the grant will be kept.

            scopes: Instead of the registration's.

            extra: Further parameters of the connect link.

            lifetime: How long the callback is accepted.

        Raises:
            ConfigurationError: No such registration, no redirect URI, no account id.

            StoreError: The pending state cannot be stored.
        """
        registration = self._registration(provider)
        key = account_key(provider, account)
        if registration.redirect_uri is None:
            raise ConfigurationError(
                f"{provider}: connecting accounts needs a redirect_uri; pass the one "
                "you registered: Registration(..., redirect_uri='https://...')"
            )
        described = registration.provider
        state = _new_state(described.callback.state_forbidden)
        verifier = new_verifier() if described.pkce else None
        wanted = tuple(scopes if scopes is not None else _scopes_of(registration))
        store = await self._open_store()
        expires_at = await store.now() + lifetime.total_seconds()
        await store.put_pending(
            PendingAuthorization(
                fingerprint(state),
                key,
                registration.redirect_uri,
                verifier,
                wanted,
                expires_at,
            )
        )
        url = authorization_url(
            registration,
            state=state,
            code_challenge=verifier and challenge(verifier, described.pkce or ""),
            scopes=wanted,
            extra=extra,
        )
        moment = instant(expires_at)
        assert moment is not None  # noqa: S101 - an instant of a number is one
        return AuthorizationRequest(url, state, moment)

    async def finish(
        self,
        callback: Any,  # noqa: ANN401 - a URL in whatever form, or a mapping
        *,
        state: str | None = None,
        account: str | None = None,
    ) -> AccountStatus:
        """Exchange the code of *callback* and store what it brings.  Works once.

        The exchange runs in a task of its own: a web server that cancels the handler
        of a user who has closed the tab does not lose the grant.

        Args:
            callback: The URL as received, or a mapping of its query values.

            state: What this browser was given by `start`; where the provider does not
                send state back, it takes its place.

            account: Who is logged in, if your program knows.

        Raises:
            CallbackError: Refused, and nothing was stored; ``.code`` says why.

            TemporarilyUnavailable: The code was not sent; call again with the same
                callback.

            ConfigurationError: The provider does not know this client.

            TokenEndpointError: The provider's answer made no sense; start again.
        """
        values, came_back = self._read(callback, state)
        store = await self._open_store()
        pending = await self._take(store, came_back, account)
        registration = self._registration(pending.key.provider)
        if values.error is not None:
            raise CallbackError(values.error, values.error_description)
        if values.code is None:
            raise CallbackError("malformed", "neither a code nor an error came back")
        exchange = asyncio.create_task(
            self._exchange(store, pending, registration, values.code)
        )
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        return await asyncio.shield(exchange)

    async def aclose(self, within: float | None = None) -> None:
        """Wait for exchanges under way, *within* seconds, and let go of the rest."""
        if not self._exchanges:
            return
        bound = _TOTAL + _CONNECT if within is None else within
        _, late = await asyncio.wait(set(self._exchanges), timeout=bound)
        for exchange in late:
            exchange.cancel()

    # ---- within

    def _registration(self, name: str) -> Registration:
        try:
            return self._registrations[name]
        except KeyError:
            known = ", ".join(sorted(self._registrations))
            raise ConfigurationError(
                f"no registration is named {name!r}; this Client has: {known}"
            ) from None

    def _read(self, callback: object, state: str | None) -> tuple[CallbackValues, str]:
        """The callback's values, and the state to look it up by."""
        # Which provider it is from is known only once its state is found; but all
        # callbacks carry state and error under the RFC's names.
        names = {r.provider.callback.code_name for r in self._registrations.values()}
        values = None
        for registration in self._registrations.values():
            values = read_callback(callback, registration.provider.callback)
            if values.code is not None or len(names) == 1:
                break
        if values is None:
            raise ConfigurationError("this Client has no registration")
        if values.state is not None and state is not None and values.state != state:
            # Before anything is taken: a foreign link must not use up this browser's.
            raise CallbackError("foreign", "this browser was given another state")
        came_back = values.state or state
        if came_back is None:
            raise CallbackError(
                "malformed", "no state came back; pass finish(..., state=...)"
            )
        return values, came_back

    async def _take(
        self, store: TokenStore, state: str, account: str | None
    ) -> PendingAuthorization:
        taken = await store.take_pending(fingerprint(state))
        pending = taken.pending
        if pending is None:
            if taken.used:
                raise CallbackError("reused", "this callback was used before")
            raise CallbackError("unknown", "no authorization was started with it")
        if account is not None and account != pending.key.account:
            # Used up on purpose: whoever came with it is not who started it.
            raise CallbackError("foreign", "it was started for another account")
        if pending.expires_at <= taken.now:
            raise CallbackError("expired", "start the authorization again")
        return pending

    async def _exchange(
        self,
        store: TokenStore,
        pending: PendingAuthorization,
        registration: Registration,
        code: str,
    ) -> AccountStatus:
        outcome = await self._endpoint.ask(
            registration,
            CodeGrant(code, pending.redirect_uri, pending.code_verifier),
            total=_TOTAL,
            connect=_CONNECT,
        )
        _log.debug(
            "code exchanged: %s",
            outcome.kind,
            extra={"provider": pending.key.provider, "account": pending.key.account},
        )
        if isinstance(outcome, Granted):
            return await self._save(pending.key, outcome.token, registration)
        if isinstance(outcome, NotSent | Throttled):
            # The code is unspent: the same callback may come again.
            await store.put_pending(pending)
            raise TemporarilyUnavailable(
                *pending.key,
                f"the code was not exchanged: {outcome.description}",
                retry_after=getattr(outcome, "retry_after", None) or _RETRY_AFTER,
            )
        raise _error(outcome, registration)


def _error(outcome: Outcome, registration: Registration) -> Exception:
    if isinstance(outcome, Refused):
        return CallbackError("refused", outcome.description)
    if isinstance(outcome, Misconfigured):
        return ConfigurationError(
            f"the token endpoint does not accept registration {registration.name!r} "
            f"({outcome.description}): check client_id, client_secret and redirect_uri"
        )
    return TokenEndpointError(
        status=getattr(outcome, "status", 0),
        code=getattr(outcome, "code", ""),
        description=outcome.description,
    )


def _scopes_of(registration: Registration) -> Sequence[str]:
    if registration.scopes is not None:
        return registration.scopes
    return registration.provider.scopes


def _new_state(forbidden: str) -> str:
    """Random, URL-safe, without the characters that the provider cuts off."""
    while True:
        state = secrets.token_urlsafe(32)
        if not set(state) & set(forbidden):
            return state
