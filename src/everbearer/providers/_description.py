"""What can be said of a provider.  Data only: no code asks for a provider's name.

A quirk that cannot be said here is a missing field, never an ``if``.  A field that no
code reads is deleted.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

from attrs import Attribute, evolve, field, frozen
from yarl import URL

from everbearer import vocabulary as v
from everbearer.errors import ConfigurationError
from everbearer.providers._account_facts import AccountFacts
from everbearer.providers._base_url import check_base_url
from everbearer.providers._connect_link import AuthorizeEndpoint, Callback
from everbearer.providers._hosts import Hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AccessTokenSpan",
    "AccountFacts",
    "AuthorizeEndpoint",
    "Callback",
    "ErrorRule",
    "ExpirySignal",
    "Hosts",
    "IdentityHeader",
    "Provider",
    "TokenAnswer",
    "TokenCall",
    "TokenVerdict",
    "Verdict",
]

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "none"]


class Verdict(Enum):
    """What an API answer says about the token that it was sent with."""

    EXPIRED = auto()
    """Refresh and send again."""

    INVALID = auto()
    """Refresh once, if the rejected token is still the current one; send again."""

    REVOKED = auto()
    """No refresh can help, the user must act."""


class TokenVerdict(Enum):
    """What an error answer of the token endpoint means."""

    REFUSED = auto()
    """This grant is over (invalid_grant and its dialects)."""

    MISCONFIGURED = auto()
    """The client is not known or not allowed; no grant is at fault."""

    THROTTLED = auto()
    """Too many requests; nothing was spent."""

    TOO_EARLY = auto()
    """The access token is too young to be replaced; nothing was spent."""


@frozen
class TokenCall:
    """One kind of token request.

    Attributes:
        path: Below the token base URL; or an absolute URL, whose path goes below the
            token base URL wherever `Provider.with_hosts` gives another.

        encoding: Of the body.

        client_authentication: RFC 6749 section 2.3.1, or ``none``.

        fixed: Parameters sent always, such as ``grant_type``.

        grant_name: What the provider calls the parameter with the code, the refresh
            token or the token to revoke.

        sends_redirect_uri: Whether the redirect URI is repeated (section 4.1.3).

        plain_basic: Whether client id and secret go into Basic as they are, without
            the form-urlencoding that section 2.3.1 asks for.

        other_paths: Asked in this order where *path* answers 404 or 405, which
            proves that nothing was spent; the one that answers is asked first then.
    """

    path: str
    grant_name: str
    encoding: Literal["form", "json"] = "form"
    client_authentication: ClientAuthentication = "client_secret_basic"
    fixed: Mapping[str, str] = field(factory=dict, hash=False)
    sends_redirect_uri: bool = False
    plain_basic: bool = False
    other_paths: tuple[str, ...] = ()


@frozen
class AccessTokenSpan:
    """Where a token response says how long the access token lives.

    Attributes:
        name: Of the member, or of the claim.

        form: How it is written; numbers may come as strings.  ``duration`` is seconds
            or a text such as ``15m``, ``1d`` or ``1 hour``; ``instant`` is ISO 8601
            with its offset, or seconds or milliseconds since the epoch; ``claim`` is
            an instant in the access token, which is a JWT (RFC 7519 section 4.1.4).
    """

    name: str
    form: Literal["seconds", "duration", "instant", "claim"] = "seconds"


@frozen
class TokenAnswer:
    """How to read a successful token response (RFC 6749 section 5.1).

    Attributes:
        access_token, refresh_token: Names of the members.

        other_access_tokens: Further names of the first, tried in order.

        spans: Candidates for the access token's lifetime; the first that reads wins.

        refresh_spans: The same for the refresh token's.

        default_lifetime: Seconds, where nothing is said; None leaves it open, and
            then only the API's answers tell.

        keep_extra: Names of further members that are kept, sealed, as they came.

        id_token: Name of the id token, if there may be one (OpenID Connect Core
            section 3.1.3.3): it is kept too, and its claims as ``id_token_claims``.
    """

    access_token: str = "access_token"
    refresh_token: str = "refresh_token"
    spans: tuple[AccessTokenSpan, ...] = (AccessTokenSpan("expires_in"),)
    refresh_spans: tuple[AccessTokenSpan, ...] = ()
    default_lifetime: float | None = None
    keep_extra: tuple[str, ...] = ()
    other_access_tokens: tuple[str, ...] = ()
    id_token: str | None = None


@frozen
class ExpirySignal:
    """One way in which the API says that a token is no good.  All of it must hold.

    Attributes:
        verdict: What it means.

        statuses: HTTP statuses; empty means any from 400 on.

        www_authenticate_error: The ``error`` of a Bearer challenge (RFC 6750 s. 3.1);
            empty means that there is none.

        json_path: Steps into a JSON body, ``*`` for every element of a list.

        values: What must be found there, letter case ignored.

        proves_unprocessed: Whether this answer proves that the request was not
            carried out, so that even an unsafe method may be sent again.
    """

    verdict: Verdict
    statuses: frozenset[int] = frozenset()
    www_authenticate_error: str | None = None
    json_path: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()
    proves_unprocessed: bool = False


@frozen
class ErrorRule:
    """One way in which the token endpoint refuses.  All that is set must hold.

    Attributes:
        verdict: What it means.

        statuses: HTTP statuses; empty means any.

        json_path, values: As in `ExpirySignal`.

        beginning: Whether a value is only the beginning of what must be found there:
            some sentences end with a date.
    """

    verdict: TokenVerdict
    statuses: frozenset[int] = frozenset()
    json_path: tuple[str, ...] = ("error",)
    values: frozenset[str] = frozenset()
    beginning: bool = False


@frozen
class IdentityHeader:
    """A header that says which company a call is about.

    It goes where the token goes and nowhere else.
    """

    name: str


def _lasting(_: object, attribute: Attribute[float | None], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(
            f"Provider.{attribute.name} is {value!r}: give seconds above 0, or None"
        )


@frozen
class Provider:
    """An authorization server and its API, described.

    Attributes:
        name: Short, lower case; the default name of a registration.

        hosts: Base URLs by environment.

        environment: Which of them is meant.

        authorize, callback: The connect link and what comes back.

        exchange, refresh, revoke: The token calls; None where there is none.

        revokes: What is given to `revoke`: steps to a member of the token response,
            one of the tokens or among what is kept of it.

        redirects: The call that registers redirect URIs, whose `grant_name` takes
            the list of them; None where they are registered in another way.

        secret_optional: Whether a registration may do without a client secret; then
            its calls carry the client id alone (RFC 6749 section 3.2.1).

        answer: How token responses are read.

        scopes: Asked for unless the registration says otherwise.

        pkce: Code challenge method (RFC 7636), or None for off.

        rotation: Whether a refresh replaces the refresh token.

        replay_window: Seconds for which the previous refresh token is still taken
            when the answer to its first use was lost; 0 for none.

        old_access_dies: Whether a refresh ends the previous access token at once.

        refresh_idle_lifetime: Seconds after which a refresh token ends unless a token
            request is made; each one begins them anew.  None where it does not end by
            being left alone, or where that is not known.  The keeper goes by it.

        minimum_age: Seconds before which an access token cannot be replaced.

        leeway: Seconds before its end from which an access token is stale.  Never
            more than half of its lifetime.

        token_scheme: What stands before the access token in an API call's
            Authorization header (RFC 6750 section 2.1 says Bearer).

        expiry_signals: In order; the first that matches counts.

        error_rules: In order; the first that matches counts.

        identity_headers: Allowed origins only.

        idempotency_headers: Headers that make an unsafe method safe to send again.

        account_facts: What the API is asked once an account is connected.
    """

    name: str
    hosts: Mapping[str, Hosts] = field(hash=False)
    environment: str
    authorize: AuthorizeEndpoint
    exchange: TokenCall
    refresh: TokenCall
    revoke: TokenCall | None = None
    revokes: tuple[str, ...] = ("refresh_token",)
    redirects: TokenCall | None = None
    secret_optional: bool = False
    callback: Callback = field(factory=Callback)
    answer: TokenAnswer = TokenAnswer()
    scopes: tuple[str, ...] = ()
    pkce: Literal["S256", "plain"] | None = None
    rotation: Literal["never", "every_use", "sometimes"] = "every_use"
    replay_window: float = 0.0
    old_access_dies: bool = False
    refresh_idle_lifetime: float | None = field(default=None, validator=_lasting)
    minimum_age: float = 0.0
    leeway: float = 60.0
    token_scheme: str = v.BEARER
    expiry_signals: tuple[ExpirySignal, ...] = ()
    error_rules: tuple[ErrorRule, ...] = ()
    identity_headers: tuple[IdentityHeader, ...] = ()
    idempotency_headers: tuple[str, ...] = ()
    account_facts: AccountFacts | None = None

    def in_environment(self, name: str) -> Provider:
        """The same provider at another of its environments.

        Raises:
            ConfigurationError: It has no such environment.
        """
        if name not in self.hosts:
            known = ", ".join(sorted(self.hosts))
            raise ConfigurationError(
                f"{self.name!r} has no environment {name!r}: choose one of {known}, "
                "or give your own base URLs to with_hosts(login=, token=, api=)"
            )
        return evolve(self, environment=name)

    def with_hosts(
        self,
        login: str | None = None,
        token: str | None = None,
        api: str | None = None,
        *,
        issuer: str | None = None,
    ) -> Provider:
        """The same provider at other base URLs: a sandbox, a proxy, a test.

        Each is scheme, host, port and path prefix.  What is not given stays, but that
        another *login* is not known to be the same *issuer* (`Hosts.issuer`).

        Raises:
            ConfigurationError: A base URL is not one, or would carry secrets over
                plain http to a host that is not loopback.
        """
        now = self.hosts.get(self.environment)
        chosen = {
            name: new or (getattr(now, name) if now else "")
            for name, new in (("login", login), ("token", token), ("api", api))
        }
        for name, base in chosen.items():
            check_base_url(base, f"{self.name} {name}")
        if issuer is None and now is not None and login is None:
            issuer = now.issuer
        revoke = self.revoke
        if token is not None and revoke is not None and "://" in revoke.path:
            # A grant of a sandbox is no business of the real host's.
            revoke = evolve(revoke, path=URL(revoke.path).raw_path_qs)
        return evolve(
            self,
            hosts={**self.hosts, self.environment: Hosts(**chosen, issuer=issuer)},
            revoke=revoke,
        )

    def with_encoding(self, encoding: Literal["form", "json"]) -> Provider:
        """The same provider with its token calls encoded otherwise."""
        return evolve(
            self,
            exchange=evolve(self.exchange, encoding=encoding),
            refresh=evolve(self.refresh, encoding=encoding),
            revoke=self.revoke and evolve(self.revoke, encoding=encoding),
        )

    @property
    def base(self) -> Hosts:
        """The base URLs of the chosen environment.

        Raises:
            ConfigurationError: None are published for it.
        """
        try:
            return self.hosts[self.environment]
        except KeyError:
            raise ConfigurationError(
                f"no hosts are known for {self.name!r} in {self.environment!r}: pass "
                "those you were given to Provider.with_hosts(login=, token=, api=)"
            ) from None
