"""Open a WebSocket with the account's token (RFC 6455 section 4.1).

`aiohttp.ClientSession.ws_connect` takes no middlewares, and of a refused handshake it
tells status and headers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSServerHandshakeError, hdrs
from attrs import frozen
from multidict import CIMultiDict

from everbearer.providers import Verdict
from everbearer.transport._bearer import BearerValue, good_token
from everbearer.transport._expiry_signal import candidates, first_match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientSession, ClientWebSocketResponse
    from yarl import URL

    from everbearer.providers import ExpirySignal
    from everbearer.tokens import AccountKey, TokenSource

__all__ = ["Handshake"]

_UNAUTHORIZED: Final = 401


@frozen
class Handshake:
    """How one account opens a WebSocket on the API's origin.

    Attributes:
        source: Of the token.

        key: Of the account.

        signals: The provider's, for API answers.

        identity: Headers added to each handshake; one that the call brings wins.
    """

    source: TokenSource
    key: AccountKey
    signals: tuple[ExpirySignal, ...]
    identity: Mapping[str, str]

    async def open(
        self, session: ClientSession, url: URL, options: dict[str, Any]
    ) -> ClientWebSocketResponse[bool]:
        """Shake hands with the current token; once more if that one is refused."""
        headers: CIMultiDict[str] = CIMultiDict(options.pop("headers", None) or ())
        for name, value in self.identity.items():
            headers.setdefault(name, value)
        sent = BearerValue(
            self.source.current() or await good_token(self.source, self.key)
        )
        headers[hdrs.AUTHORIZATION] = sent
        try:
            opened: ClientWebSocketResponse[bool] = await session.ws_connect(
                url, headers=headers, **options
            )
        except WSServerHandshakeError as refusal:
            replacement = await self._replacement(sent, refusal)
            if replacement is None:
                raise
            sent = BearerValue(replacement)
            headers[hdrs.AUTHORIZATION] = sent
            opened = await session.ws_connect(url, headers=headers, **options)
        self.source.accepted(sent.access_token)
        return opened

    async def _replacement(
        self, sent: BearerValue, refusal: WSServerHandshakeError
    ) -> str | None:
        verdict = self._verdict(refusal)
        if verdict is None:
            return None
        return await self.source.replacement_for(
            sent.access_token, revoked=verdict is Verdict.REVOKED
        )

    def _verdict(self, refusal: WSServerHandshakeError) -> Verdict | None:
        """What a refused handshake says of the token, its body unread.

        Where a signal for 401 would need the body, the 401 alone counts as INVALID:
        that may cost one refresh of a token that was good, and never a second.
        """
        headers = refusal.headers
        challenges = headers.getall(hdrs.WWW_AUTHENTICATE, ()) if headers else ()
        left = candidates(self.signals, refusal.status, challenges)
        if (signal := first_match(left)) is not None:
            return signal.verdict
        return Verdict.INVALID if left and refusal.status == _UNAUTHORIZED else None
