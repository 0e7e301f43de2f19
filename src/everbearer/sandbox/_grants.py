"""What was issued to whom: codes, pairs of tokens, and the grants they belong to.

Pure bookkeeping with a clock; no HTTP.  A *spent* refresh token is one that was
exchanged for its successor.  Presenting it again has one of three names, and telling
them apart is what the sandbox is for:

* ``replay``: inside the window that the settings grant; answered like the first time.
* ``last_resort``: the earlier answer is known to be in *doubt*, because a scripted
  fault spoiled it or the client was gone before it was written.  Every doubt excuses
  one presentation, unless somebody was seen to have read that answer.
* ``reuse``: everything else.  Somebody spent one token twice.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field, frozen

from everbearer.sandbox._twin import opaque

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from everbearer.sandbox._connection import Connection
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._twin import Twin

__all__ = [
    "GONE",
    "AccessToken",
    "Code",
    "Grant",
    "Grants",
    "Pair",
    "Presentation",
    "RefreshToken",
    "Verdict",
]

GONE: Final = "the client was gone before the answer"

Presentation = Literal["first", "replay", "last_resort", "reuse"]
"""The names above; ``first`` is a living token without a doubt on it."""

Verdict = Literal["AccessTokenExpired", "InvalidAccessToken", "AccessTokenRevoked"]
"""What the API may say about a token: the codes under "Error states"."""


@define(eq=False)
class Grant:
    """What one user allowed one client to do in the name of one company.

    Attributes:
        ended_by: ``script``, ``reuse``, ``last_resort`` or ``code_reuse``.

        expired_up_to: Access tokens up to this generation were declared expired.

        invalid_up_to: And up to this one, unknown.

        asked_at: When its tokens were last asked for.
    """

    id: int
    company: str
    client_id: str
    scope: str = ""
    asked_at: float = 0.0
    generation: int = 0
    ended_by: str | None = None
    expired_up_to: int = -1
    invalid_up_to: int = -1
    pair: Pair | None = field(default=None, repr=False)


@define(eq=False)
class AccessToken:
    """A bearer token; *generation* counts the refreshes of its grant."""

    value: str = field(repr=False)
    grant: Grant
    generation: int
    minted_at: float
    expires_at: float
    dead: bool = False
    seen: bool = False


@define(eq=False)
class RefreshToken:
    """A refresh token, single use unless the settings say that nothing rotates.

    Attributes:
        doubt: Why the last answer may not have been read, until that has excused one
            more presentation.

        presented_on: Connections that still wait for an answer.
    """

    value: str = field(repr=False)
    grant: Grant
    issued_at: float
    spent_at: float | None = None
    successor: Pair | None = field(default=None, repr=False)
    doubt: str | None = None
    presented_on: list[Connection] = field(factory=list, repr=False)


@frozen(eq=False)
class Pair:
    """What one answer of the token endpoint hands out."""

    access: AccessToken
    refresh: RefreshToken
    expires_in: float

    @property
    def used(self) -> bool:
        """Whether either token was seen: somebody has read the answer."""
        return self.access.seen or self.refresh.spent_at is not None

    @property
    def access_token(self) -> str:
        """The bearer token itself."""
        return self.access.value

    @property
    def refresh_token(self) -> str:
        """The refresh token itself."""
        return self.refresh.value


@define(eq=False)
class Code:
    """An authorization code: single use, bound to its client and redirect URI.

    Attributes:
        challenge: Of PKCE (RFC 7636), with its *method*; None without.
    """

    value: str = field(repr=False)
    company: str
    client_id: str
    redirect_uri: str
    expires_at: float
    scope: str = ""
    challenge: str | None = field(default=None, repr=False)
    method: str = "plain"
    grant: Grant | None = None


class Grants:
    """Every code, token and grant that the sandbox ever issued."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], twin: Twin
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._twin = twin
        self._codes: dict[str, Code] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._by_company: defaultdict[str, list[Grant]] = defaultdict(list)

    def __repr__(self) -> str:
        count = sum(len(grants) for grants in self._by_company.values())
        return f"<Grants: {count} of {len(self._by_company)} companies>"

    @property
    def companies(self) -> list[str]:
        """Every company that has or had a grant."""
        return list(self._by_company)

    def of(self, company: str | None) -> Iterable[Grant]:
        """The grants of *company*, newest last; of all companies if None."""
        if company is not None:
            return tuple(self._by_company.get(company, ()))
        return tuple(each for some in self._by_company.values() for each in some)

    def current(self, company: str) -> Pair:
        """The newest pair of *company*'s newest grant.

        Raises:
            LookupError: The company has no grant.
        """
        grants = self._by_company.get(company)
        if not grants or grants[-1].pair is None:
            message = f"no grant of {company!r}"
            raise LookupError(message)
        return grants[-1].pair

    def new_code(
        self,
        company: str,
        client_id: str,
        redirect_uri: str,
        *,
        scope: str | None = None,
        challenge: str | None = None,
        method: str = "plain",
    ) -> str:
        """Issue an authorization code; *scope* is by default the twin's."""
        value = f"code-{secrets.token_urlsafe(24)}"
        self._codes[value] = Code(
            value,
            company,
            client_id,
            redirect_uri,
            self._clock() + self._settings.code_lifetime,
            self._twin.scope if scope is None else scope,
            challenge,
            method,
        )
        return value

    def code(self, value: str) -> Code | None:
        """Find a code that was issued, used or not."""
        return self._codes.get(value)

    def redeem(self, code: Code) -> Pair | None:
        """Exchange *code*, or return None if it is used or expired.

        A used one ends the grant that came of it (RFC 6749 section 4.1.2).
        """
        if code.grant is not None:
            self.end(code.grant, "code_reuse")
            return None
        if self._clock() >= code.expires_at:
            return None
        pair = self.grant(code.company, code.client_id, scope=code.scope)
        code.grant = pair.access.grant
        return pair

    def grant(self, company: str, client_id: str, *, scope: str | None = None) -> Pair:
        """Make a new grant and its first pair; *scope* is by default the twin's."""
        every = sum(len(grants) for grants in self._by_company.values())
        allowed = self._twin.scope if scope is None else scope
        grant = Grant(every + 1, company, client_id, allowed)
        self._by_company[company].append(grant)
        return self._mint(grant)

    def access_token(self, value: str) -> AccessToken | None:
        """Find an access token that was issued, alive or not."""
        return self._access.get(value)

    def refresh_token(self, value: str) -> RefreshToken | None:
        """Find a refresh token that was issued, spent or not."""
        return self._refresh.get(value)

    def present(self, token: RefreshToken) -> tuple[Presentation, str]:
        """Name a presentation of *token*, and the doubt that excuses it, if any.

        A client that left while its answer was under way is noticed here too, because
        the next presentation may come before that answer is ready.
        """
        if any(each.closed for each in token.presented_on):
            token.doubt = token.doubt or GONE
            token.presented_on = [x for x in token.presented_on if not x.closed]
        doubt, token.doubt = token.doubt, None
        if token.successor is not None and token.successor.used:
            doubt = None
        spent = token.spent_at is not None
        if spent and self.in_window(token):
            return "replay", doubt or ""
        # A token that never rotates may be presented as often as anyone likes.
        if doubt is not None and (spent or self._settings.rotation != "never"):
            return "last_resort", doubt
        return ("reuse" if spent else "first"), ""

    def spend(self, token: RefreshToken) -> Pair:
        """Exchange a living refresh token for the next pair."""
        grant = token.grant
        previous = grant.pair
        if previous is not None:
            # Whoever has the refresh token has seen the pair it came with.
            previous.access.seen = True
            previous.access.dead |= self._settings.old_access_dies
        grant.generation += 1
        if not self._rotates(grant.generation):
            return self._mint(grant, token)
        token.spent_at = self._clock()
        token.successor = self._mint(grant)
        return token.successor

    def too_early(self, token: RefreshToken) -> bool:
        """Whether the access token is younger than the settings' minimum age."""
        pair = token.grant.pair
        if pair is None or token.spent_at is not None or token.grant.ended_by:
            return False
        return self._clock() < pair.access.minted_at + self._settings.minimum_age

    def lapsed(self, token: RefreshToken) -> bool:
        """Whether *token* has outlived its own lifetime, or its grant its idle one."""
        now, settings = self._clock(), self._settings
        fixed, idle = settings.refresh_lifetime, settings.refresh_idle_lifetime
        if fixed is not None and now >= token.issued_at + fixed:
            return True
        return idle is not None and now >= token.grant.asked_at + idle

    def in_window(self, token: RefreshToken) -> bool:
        """Whether a spent *token* is still answered."""
        pair, spent_at = token.successor, token.spent_at
        if pair is None or spent_at is None or token.grant.ended_by is not None:
            return False
        if pair.refresh.spent_at is not None:
            return False
        if self._settings.replay_until_used and pair.access.seen:
            return False
        return self._clock() < spent_at + self._settings.replay_window

    def replay(self, token: RefreshToken) -> Pair:
        """Answer a spent *token* once more, by the settings."""
        pair = token.successor
        assert pair is not None  # noqa: S101 - in_window() was asked first
        if self._settings.replay_answer == "same":
            return pair
        pair.access.dead = True
        pair.refresh.spent_at = token.spent_at
        token.grant.generation += 1
        token.successor = self._mint(token.grant)
        return token.successor

    def judge(
        self, header: str | None, *, note: bool = True
    ) -> tuple[AccessToken | None, Verdict | None]:
        """Look at an Authorization header: the token it names, and what is wrong.

        A good token has then been seen, unless *note* says that it was not used.
        """
        scheme, _, value = (header or "").partition(" ")
        wanted = self._twin.token_scheme.lower()
        token = self._access.get(value) if scheme.lower() == wanted else None
        if token is None:
            return None, "InvalidAccessToken"
        if token.grant.ended_by is not None:
            return token, "AccessTokenRevoked"
        if token.dead or token.generation <= token.grant.invalid_up_to:
            return token, "InvalidAccessToken"
        declared = token.generation <= token.grant.expired_up_to
        if declared or self._clock() >= token.expires_at:
            return token, "AccessTokenExpired"
        token.seen |= note
        return token, None

    def end(self, grant: Grant, cause: str) -> bool:
        """End *grant* and all its tokens; False if it had ended before."""
        if grant.ended_by is not None:
            return False
        grant.ended_by = cause
        return True

    def expire(self, company: str | None) -> None:
        """Let the access tokens of *company* (None: of all) be expired from now on."""
        for grant in self.of(company):
            grant.expired_up_to = grant.generation

    def invalidate(self, company: str | None) -> None:
        """Let the access tokens of *company* (None: of all) be unknown from now on."""
        for grant in self.of(company):
            grant.invalid_up_to = grant.generation

    def _rotates(self, generation: int) -> bool:
        rotation = self._settings.rotation
        if rotation == "sometimes":
            return generation % 2 == 0
        return rotation == "every_use"

    def _mint(self, grant: Grant, keep: RefreshToken | None = None) -> Pair:
        now, lifetime = self._clock(), self._settings.access_lifetime
        grant.asked_at = now
        access = AccessToken("", grant, grant.generation, now, now + lifetime)
        make = opaque if self._settings.opaque_tokens else self._twin.access_token
        access.value = make(access, now)
        value = f"refresh-{secrets.token_urlsafe(32)}"
        refresh = keep or RefreshToken(value, grant, now)
        self._access[access.value] = access
        self._refresh[refresh.value] = refresh
        grant.pair = Pair(access, refresh, lifetime)
        return grant.pair
