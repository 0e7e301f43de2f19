"""What one provider's twin says of itself; everything else is common to all.

A provider's own twin is written from its document, never from the client's description
of it: the two are compared by tests.  It says where the login and the token endpoint
are, what they take, and what they answer.  What a refresh token is worth, faults,
settings and the ledger are the sandbox's own and the same for every twin.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from aiohttp import web

    from everbearer.sandbox._answer import Answer
    from everbearer.sandbox._calls import Call, Reply
    from everbearer.sandbox._grants import AccessToken, Pair
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._world import World

__all__ = [
    "FORM",
    "ApiFace",
    "ApiRoute",
    "InvalidLinkError",
    "Login",
    "OwnRoute",
    "Paid",
    "Parameters",
    "Refusal",
    "RefusalKind",
    "TokenRoute",
    "Twin",
    "opaque",
]

FORM: Final = "application/x-www-form-urlencoded"

RefusalKind = Literal[
    "invalid_request",
    "invalid_client",
    "unsupported_grant_type",
    "invalid_code",
    "invalid_refresh_token",
    "too_early",
]
"""Why a token request is refused, before it is put in the provider's words."""


class InvalidLinkError(Exception):
    """The connect link is wrong; the message says how.

    Args:
        why: For the page.

        answer: In place of the page, where the document shows one.
    """

    def __init__(self, why: str, answer: Answer | None = None) -> None:
        super().__init__(why)
        self.answer = answer


@frozen
class Refusal:
    """A token request that is refused, and why, in words without secrets."""

    kind: RefusalKind
    why: str


@frozen(eq=False)
class Paid:
    """What the token endpoint puts into its answer.

    Attributes:
        grant_type: ``authorization_code`` or ``refresh_token``.

        now: Seconds since the epoch.
    """

    grant_type: str
    pair: Pair
    now: float
    settings: Settings

    @property
    def expires_in(self) -> float:
        """Seconds, whole if they are."""
        seconds = self.pair.expires_in
        return int(seconds) if seconds == int(seconds) else seconds

    @property
    def scopes(self) -> frozenset[str]:
        """What the user allowed."""
        return frozenset(self.pair.access.grant.scope.split())


def _nothing(_: Mapping[str, str], __: Settings) -> None:
    return None


def _no_more(_: str) -> Mapping[str, str]:
    return {}


def _as_it_is(state: str) -> str:
    return state


@frozen
class Login:
    """The connect link: its path below the login base, and what it may say.

    Attributes:
        parameters: All that are known; any other is refused.

        required: Those that must not be missing or empty.

        redirect_name: What the document calls ``redirect_uri``.

        code_name: What the callback calls the code.

        check: Raises `InvalidLinkError` for what only this provider refuses.

        returns: Parameters that the callback repeats, beside the state.

        tells: Further ones of the callback, by company.

        state: What is left of the state in the callback.

        redirect_query: Whether a redirect URI may have a query (RFC 6749 3.1.2).

        wildcards: Whether a registered redirect URI may end in ``*``.

        without_redirect: The page for a link without one, where there is one.

        unregistered: The answer to an unknown client or redirect URI; None: a page.
    """

    path: str
    parameters: frozenset[str]
    required: tuple[str, ...] = ("client_id", "redirect_uri")
    redirect_name: str = "redirect_uri"
    code_name: str = "code"
    check: Callable[[Mapping[str, str], Settings], None] = _nothing
    returns: tuple[str, ...] = ()
    tells: Callable[[str], Mapping[str, str]] = _no_more
    state: Callable[[str], str] = _as_it_is
    redirect_query: bool = True
    wildcards: bool = False
    without_redirect: Callable[[], str] | None = None
    unregistered: Answer | None = None


@frozen
class Parameters:
    """What one kind of token request says in its body.

    Attributes:
        code_name, refresh_name: What it calls the code, and the refresh token.

        public: Whether a request without a secret may prove itself by PKCE.

        check: The first thing that is wrong besides missing and unknown names.
    """

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    code_name: str = "code"
    refresh_name: str = "refresh_token"
    public: bool = False
    check: Callable[[Mapping[str, str]], str | None] = lambda _: None


@frozen
class TokenRoute:
    """One path of the token endpoint.

    Attributes:
        path: Below the token base.

        kinds: By grant type.

        grant_type: What the path means, where no parameter says it.

        names: Grant types by the parameter that gives them away, if one does.

        encodings: Media types of the body.

        authentication: Where the client's credentials are; ``either`` is RFC 6749
            section 2.3.1, which forbids both at once.

        basic_encoded: Whether they are form-encoded inside Basic, as it says there.
    """

    path: str
    kinds: Mapping[str, Parameters]
    grant_type: str | None = None
    names: Mapping[str, str] = field(factory=dict)
    encodings: tuple[str, ...] = (FORM,)
    authentication: Literal["basic", "body", "either"] = "body"
    basic_encoded: bool = False


@frozen
class ApiRoute:
    """A route of the provider's API, with its path below the API base."""

    method: str
    path: str
    handler: Callable[[Call], Awaitable[Reply]]


@frozen
class OwnRoute:
    """A route with an authentication of its own; its path is from the root."""

    method: str
    path: str
    handler: Callable[[World, web.Request], Awaitable[web.StreamResponse]]


@frozen
class ApiFace:
    """The provider's API.

    Attributes:
        documents: The path and query of the documented list, below the API base.

        refuse: The answer to a token that is no good, by `Grants.judge`'s code; the
            flag says whether a token was presented at all.

        bad_request: The answer to parameters that make no sense.
    """

    documents: str
    routes: tuple[ApiRoute, ...]
    refuse: Callable[[str, bool], Answer]
    bad_request: Callable[[str], Answer]


def opaque(_: AccessToken, __: float) -> str:
    """An access token that says nothing."""
    return f"access-{secrets.token_urlsafe(32)}"


@frozen
class Twin:
    """One provider as its document describes it.

    Attributes:
        title: On the pages.

        login_base, token_base, api_base: Path prefixes that belong to the base URLs.

        scope: Of grants made without the login page.

        token_scheme: Before an access token in the Authorization header.

        access_token: Makes one, at a moment; its `value` is still empty.

        also: What else a token response may call a member, by its usual name.

        defaults: Of `Settings`, where the document says more than those.
    """

    name: str
    title: str
    login: Login
    token: tuple[TokenRoute, ...]
    token_response: Callable[[Paid], dict[str, Any]]
    token_error: Callable[[Refusal], Answer]
    api: ApiFace
    own: tuple[OwnRoute, ...] = ()
    login_base: str = ""
    token_base: str = ""
    api_base: str = ""
    scope: str = ""
    token_scheme: str = "Bearer"
    access_token: Callable[[AccessToken, float], str] = opaque
    also: Mapping[str, str] = field(factory=dict)
    defaults: Mapping[str, Any] = field(factory=dict)
