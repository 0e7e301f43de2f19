"""`client.authorization`: start, the user's visit, finish."""

from __future__ import annotations

import asyncio
import logging
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from everbearer._clock import instant
from everbearer._redact import fingerprint
from everbearer.authorization._callback import CallbackValues, read_callback
from everbearer.authorization._issuer import check_issuer
from everbearer.authorization._pkce import challenge, new_verifier
from everbearer.authorization._redirects import register_redirects
from everbearer.authorization._request import authorization_url
from everbearer.authorization._state import give_back, new_state, same, take
from everbearer.errors import (
    CallbackError,
    ConfigurationError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from everbearer.providers import named
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

    from everbearer.providers import Registration
    from everbearer.stores import TokenStore
    from everbearer.token_endpoint import Outcome, TokenEndpoint
    from everbearer.tokens import AccountKey, AccountStatus, Token

__all__ = ["Authorization", "AuthorizationRequest"]

_log = logging.getLogger("everbearer.authorization")

_RETRY_AFTER: Final = 5.0
_CLOSING_MARGIN: Final = 5.0
_START_AGAIN: Final = "the code may be spent: start the authorization again"
_LONGEST_LIFETIME: Final = timedelta(days=366)


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
        save: Callable[[AccountKey, Token], Awaitable[AccountStatus]],
        *,
        total: float,
        connect: float,
    ) -> None:
        self._registrations = registrations
        self._open_store = open_store
        self._endpoint = endpoint
        self._save = save
        self._total = total
        self._connect = connect
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

            extra: Further parameters of the connect link; none that Everbearer sets.

            lifetime: How long the callback is accepted, up to a year.

        Raises:
            ConfigurationError: No such registration, no redirect URI, no account id,
                or an argument that cannot work; nothing was stored.

            StoreError: The pending state cannot be stored.
        """
        registration = named(self._registrations, provider)
        key = account_key(provider, account)
        if registration.redirect_uri is None:
            raise ConfigurationError(
                f"{provider}: connecting accounts needs a redirect_uri; pass the one "
                "you registered: Registration(..., redirect_uri='https://...')"
            )
        if not isinstance(lifetime, timedelta):
            raise ConfigurationError("lifetime is a timedelta")
        if not timedelta(0) < lifetime <= _LONGEST_LIFETIME:
            raise ConfigurationError(
                f"lifetime is {lifetime}: give more than nothing and at most "
                f"{_LONGEST_LIFETIME.days} days"
            )
        described = registration.provider
        state = new_state(described.callback.state_forbidden)
        verifier = new_verifier() if described.pkce else None
        wanted = _scopes(registration, scopes)
        url = authorization_url(
            registration,
            state=state,
            code_challenge=verifier and challenge(verifier, described.pkce or ""),
            scopes=wanted,
            extra=extra,
        )
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
        of a user who has closed the tab does not lose the grant.  Once that is stored
        the API is asked for `Provider.account_facts`, for some seconds at most.

        Args:
            callback: The URL as received, or a mapping of its query values.

            state: What this browser was given by `start`; where the provider may not
                send state back, it takes its place.

            account: Who is logged in, if your program knows.

        Raises:
            CallbackError: Refused, and nothing was stored; ``.code`` says why.

            TemporarilyUnavailable: The code was not used; call again with the same
                callback after ``retry_after`` seconds.

            ConfigurationError: The provider does not know this client, or the client
                secret cannot be had.

            TokenEndpointError: The provider's answer made no sense; start again.

            StoreError: What the code brought could not be stored; start again.
        """
        values, came_back = self._read(callback, state)
        store = await self._open_store()
        pending = await take(store, came_back)
        if account is not None and not same(account, pending.key.account):
            # Used up on purpose: whoever came with it is not who started it.
            raise CallbackError("foreign", "it was started for another account")
        check_issuer(values.issuer, pending.key.provider, self._registrations)
        if values.error is not None:
            raise CallbackError(values.error, values.error_description)
        exchange = asyncio.create_task(
            self._exchange(store, pending, values), name="everbearer-exchange"
        )
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        return await _without_cancelling(exchange)

    async def register_redirects(self, provider: str, urls: Sequence[str]) -> None:
        """Tell *provider* where it may send users back to, where a call does that.

        Whether the list replaces an earlier one is not documented: give all of them.
        Calling it again does no harm.

        Args:
            provider: Name of the registration.

            urls: Redirect URIs: absolute, http or https.

        Raises:
            ConfigurationError: No such registration, a URL that is none, a provider
                without such a call, or one that does not accept this client.

            TemporarilyUnavailable: It may not have arrived; call again.

            TokenEndpointError: The provider's answer made no sense.
        """
        await register_redirects(
            named(self._registrations, provider),
            self._endpoint,
            urls,
            total=self._total,
            connect=self._connect,
        )

    async def aclose(self, within: float | None = None) -> None:
        """Wait for exchanges under way, *within* seconds, and let go of the rest."""
        if not self._exchanges:
            return
        bound = self._total + _CLOSING_MARGIN if within is None else within
        _, late = await asyncio.wait(set(self._exchanges), timeout=bound)
        for exchange in late:
            exchange.cancel()
        if late:
            await asyncio.wait(late)
        if lost := sum(exchange.cancelled() for exchange in late):
            warnings.warn(
                f"Client closed with {lost} authorization(s) unfinished after "
                f"{bound:.0f} s; their users have to start again",
                ResourceWarning,
                stacklevel=3,
            )

    def abandon(self) -> None:
        """After a fork: forget the parent's exchanges, untouched."""
        self._exchanges.clear()

    # ---- within

    def _read(self, callback: object, state: str | None) -> tuple[CallbackValues, str]:
        """The callback's values, and the state to look it up by.

        All that can be refused is refused here, before anything is used up: a link
        that somebody else made must not end this browser's authorization.
        """
        # Which provider it is from is known only once its state is found; but all
        # callbacks carry state and error under the RFC's names.
        described = [each.provider.callback for each in self._registrations.values()]
        values = read_callback(
            callback,
            (each.code_name for each in described),
            (each.code_name for each in described if each.question_mark),
            (name for each in described for name in each.keep_extra),
        )
        if values.state is None and all(each.returns_state for each in described):
            raise CallbackError("malformed", "no state came back")
        if values.state is None and state is None:
            raise CallbackError(
                "malformed", "no state came back; pass finish(..., state=...)"
            )
        if values.state and state is not None and not same(values.state, state):
            raise CallbackError("foreign", "this browser was given another state")
        return values, values.state or state or ""

    async def _exchange(
        self,
        store: TokenStore,
        pending: PendingAuthorization,
        values: CallbackValues,
    ) -> AccountStatus:
        key = pending.key
        try:
            registration = named(self._registrations, key.provider)
            outcome = await self._endpoint.ask(
                registration,
                CodeGrant(
                    _code(registration, values),
                    pending.redirect_uri,
                    pending.code_verifier,
                ),
                total=self._total,
                connect=self._connect,
                account=key.account,
            )
        except (ConfigurationError, CallbackError):
            await give_back(store, pending)
            raise
        _log.debug(
            "code exchanged: %s",
            outcome.kind,
            extra={"provider": key.provider, "account": key.account},
        )
        if isinstance(outcome, Granted):
            return await self._save(key, _complete(outcome.token, registration, values))
        if isinstance(outcome, NotSent | Throttled):
            await give_back(store, pending)
            raise TemporarilyUnavailable(
                *key,
                f"the code was not exchanged: {outcome.description}",
                retry_after=getattr(outcome, "retry_after", None) or _RETRY_AFTER,
            )
        raise _error(outcome, registration)


def _code(registration: Registration, values: CallbackValues) -> str:
    described = registration.provider.callback
    if values.state is None and described.returns_state:
        raise CallbackError("malformed", "no state came back")
    try:
        return values.codes[described.code_name]
    except KeyError:
        raise CallbackError("malformed", f"no {described.code_name} came back") from (
            None
        )


def _complete(
    token: Token, registration: Registration, values: CallbackValues
) -> Token:
    """The token with what the callback says; its own members win.

    Without the end of a refresh token that was not given.
    """
    kept = {
        name: values.extra[name]
        for name in registration.provider.callback.keep_extra
        if name in values.extra
    }
    ends = token.refresh_expires_at if token.refresh_token else None
    return evolve(token, refresh_expires_at=ends, extra={**kept, **token.extra})


async def _without_cancelling(exchange: asyncio.Task[AccountStatus]) -> AccountStatus:
    """What *exchange* comes to; it goes on if its caller is cancelled."""
    try:
        return await asyncio.shield(exchange)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if exchange.cancelled() and task is not None and not task.cancelling():
            raise TokenEndpointError(
                status=0, description=f"the Client was closed; {_START_AGAIN}"
            ) from None
        raise


def _error(outcome: Outcome, registration: Registration) -> Exception:
    if isinstance(outcome, Refused):
        return CallbackError(
            "refused", f"{outcome.description}; start the authorization again"
        )
    if isinstance(outcome, Misconfigured):
        return ConfigurationError(
            f"the token endpoint does not accept registration {registration.name!r} "
            f"({outcome.description}): check client_id, client_secret and "
            "redirect_uri, then start the authorization again"
        )
    return TokenEndpointError(
        status=getattr(outcome, "status", 0),
        code=getattr(outcome, "code", ""),
        description=f"{outcome.description}; {_START_AGAIN}",
    )


def _scopes(registration: Registration, asked: Sequence[str] | None) -> tuple[str, ...]:
    for scopes in (asked, registration.scopes):
        if scopes is not None:
            return tuple(scopes.split() if isinstance(scopes, str) else scopes)
    return registration.provider.scopes
