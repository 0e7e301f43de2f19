"""Attach the token, send, and if the answer says that it is no good, send once more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from aiohttp import ClientSession, hdrs

from everbearer.errors import TemporarilyUnavailable
from everbearer.events import AuthorizationOverridden, ResendRefused
from everbearer.providers import Verdict
from everbearer.transport._bearer import BearerValue, good_token
from everbearer.transport._body import guard
from everbearer.transport._callers import is_default_authorization
from everbearer.transport._expiry_signal import candidates, first_match, judged_from
from everbearer.transport._peek import document, settle
from everbearer.transport._resend import make_ready, parting, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
    from yarl import URL

    from everbearer.events import Hooks
    from everbearer.providers import ExpirySignal, Provider
    from everbearer.tokens import AccountKey, TokenSource
    from everbearer.transport._origin import ApiBase

__all__ = ["AccountMiddleware"]

_log = logging.getLogger("everbearer.transport")

# Seconds that a token must be good for before a body is sent that cannot be sent
# again; for any other call a stale one will do.
_ONE_SHOT_MARGIN: Final = 60.0

# An API that answers below 500 has looked at the token, but for these: the ones that
# may be about the token, and those that a gateway gives before it asks the API.
_TELLS_NOTHING: Final = frozenset({401, 403, 407, 408, 421, 425, 429})
_TAKEN: Final = frozenset(range(200, 300)) | frozenset(range(400, 500)) - _TELLS_NOTHING

# One for the rejected token; and one more because its replacement may have been ended
# by the same event, or replaced by another process while the call was under way.
_MOST_RESENDS: Final = 2

Respects = Literal["none", "callers", "any"]
"""Which Authorization header, already in the request, is left alone."""

# By session and not by middleware: views and sessions of an account are made freely.
_told: WeakKeyDictionary[ClientSession, set[AccountKey]] = WeakKeyDictionary()


class AccountMiddleware:
    """One account's token for every call of an `aiohttp.ClientSession`.

    Pass it in ``ClientSession(middlewares=(acme.middleware,))``; first in the list, it
    runs outermost.  It runs on every hop of a redirect, and the token and the identity
    headers go to the API's origin only.  Safe to share between sessions of one loop.

    Raises, out of a call:
        AuthorizationRequired: The user must act.

        TemporarilyUnavailable: No token can be had now; the grant is intact.

        ConfigurationError: The provider does not know this client.

        StoreError: The token store failed.
    """

    __slots__ = (
        "_allowed",
        "_base",
        "_bearer",
        "_hooks",
        "_idempotency",
        "_identity",
        "_judged_from",
        "_key",
        "_private",
        "_respects",
        "_scheme",
        "_signals",
        "_source",
    )

    def __init__(
        self,
        source: TokenSource,
        key: AccountKey,
        provider: Provider,
        base: ApiBase,
        hooks: Hooks,
        *,
        identity: Mapping[str, str],
        respects: Respects = "callers",
    ) -> None:
        self._source = source
        self._key = key
        self._base = base
        self._hooks = hooks
        self._identity = identity
        self._private = (*(h.name for h in provider.identity_headers), *identity)
        self._respects = respects
        self._scheme = provider.token_scheme
        self._signals = provider.expiry_signals
        self._judged_from = judged_from(provider.expiry_signals)
        self._idempotency = provider.idempotency_headers
        self._bearer = BearerValue("")
        self._allowed: URL | None = None

    async def __call__(  # noqa: C901 - the fast path, in one frame
        self, req: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        if req.url is not self._allowed:  # URLs never change, and this one is held.
            if not self._base.allows(req.url):
                return await handler(self._stripped(req))
            self._allowed = req.url
        if self._identity:
            self._identify(req)
        if hdrs.AUTHORIZATION in req.headers and self._leaves_alone(req):
            return await handler(req)
        if req.body:
            if hdrs.EXPECT in req.headers:
                handler = parting(handler)
            if not guard(req):
                return await self._send_one_shot(req, handler)
        bearer, token = self._bearer, self._source.current()
        if bearer.access_token is not token:
            if token is None:
                token = await good_token(self._source, self._key)
            bearer = self._bearer = BearerValue(token, self._scheme)
        req.headers[hdrs.AUTHORIZATION] = bearer
        response = await handler(req)
        if response.status < self._judged_from:
            if not bearer.accepted:
                bearer.accepted = True
                self._source.accepted(bearer.access_token)
            return response
        return await self._judge(req, handler, response, bearer)

    # ---- before sending

    def _stripped(self, req: ClientRequest) -> ClientRequest:
        """*req* for an origin that is not the API's: nothing of the account's in it."""
        for name in self._private:
            req.headers.popall(name, None)
        if isinstance(req.headers.get(hdrs.AUTHORIZATION), BearerValue):
            req.headers.popall(hdrs.AUTHORIZATION)
        return req

    def _identify(self, req: ClientRequest) -> None:
        """Add this view's headers; one that the call itself brings wins."""
        for name, value in self._identity.items():
            req.headers.setdefault(name, value)

    def _leaves_alone(self, req: ClientRequest) -> bool:
        """Whether the Authorization in *req* was meant for this very call."""
        if self._respects == "any":
            return True
        if self._respects == "callers" and not is_default_authorization(req):
            return True
        told = _told.setdefault(req.session, set())
        if self._key not in told:
            told.add(self._key)
            self._hooks(AuthorizationOverridden(*self._key))
        return False

    async def _lasting_token(self) -> str:
        """A token for a body that is good for one time, with a larger leeway."""
        token = self._source.current(_ONE_SHOT_MARGIN)
        if token is not None:
            return token
        try:
            return await good_token(self._source, self._key, margin=_ONE_SHOT_MARGIN)
        except TemporarilyUnavailable:
            # What is still good for a while is better than no call at all.
            if (token := self._source.current()) is None:
                raise
            return token

    async def _send_one_shot(
        self, req: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        bearer = BearerValue(await self._lasting_token(), self._scheme)
        self._source.one_shot(+1)
        try:
            req.headers[hdrs.AUTHORIZATION] = bearer
            response = await handler(req)
        finally:
            self._source.one_shot(-1)
        return await self._judge(req, handler, response, bearer)

    # ---- after an answer

    async def _judge(
        self,
        req: ClientRequest,
        handler: ClientHandlerType,
        response: ClientResponse,
        sent: BearerValue,
        resends: int = _MOST_RESENDS,
    ) -> ClientResponse:
        """Hand *response* on, or replace the token that was *sent* and send again."""
        signal = await self._signal_in(response, sent)
        if signal is None or not resends:
            return response
        revoked = signal.verdict is Verdict.REVOKED
        refusal = why_not(req, signal, self._idempotency)
        self._log_rejection(response, signal, refusal)
        if refusal is not None:
            self._hooks(ResendRefused(*self._key, req.method, refusal))
            if not revoked:
                self._source.reject(sent.access_token)
                return response
        # Before any wait: whoever refreshes may need this very connection.
        await settle(response)
        replacement = await self._source.replacement_for(
            sent.access_token, revoked=revoked
        )
        if replacement is None or refusal is not None:
            return response
        make_ready(req)
        bearer = BearerValue(replacement, self._scheme)
        req.headers[hdrs.AUTHORIZATION] = bearer
        response = await handler(req)
        return await self._judge(req, handler, response, bearer, resends - 1)

    async def _signal_in(
        self, response: ClientResponse, sent: BearerValue
    ) -> ExpirySignal | None:
        """What *response* says against *sent*; if nothing, that it was taken."""
        status = response.status
        signal = None
        left = candidates(
            self._signals, status, response.headers.getall(hdrs.WWW_AUTHENTICATE, ())
        )
        if left:
            signal = (
                first_match(left, await document(response))
                if left[0].json_path
                else left[0]
            )
        if signal is None and (status < self._judged_from or status in _TAKEN):
            self._source.accepted(sent.access_token)
        return signal

    def _log_rejection(
        self, response: ClientResponse, signal: ExpirySignal, refusal: str | None
    ) -> None:
        _log.debug(
            "token rejected (%d, %s)%s",
            response.status,
            signal.verdict.name,
            f"; not sent again: {refusal}" if refusal else "",
            extra={"provider": self._key.provider, "account": self._key.account},
        )
