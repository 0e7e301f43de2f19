"""A twin of any description: a provider without one of its own, or a user's.

It asks for what the description lets the client send, and answers as the description
lets it read.  So it shows that the two fit together, and nothing about the provider:
twins that judge a description are written from documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from yarl import URL

from everbearer.providers import Hosts
from everbearer.sandbox import _described_answers as answers
from everbearer.sandbox._answer import JSON
from everbearer.sandbox._jwt import unverifiable
from everbearer.sandbox._token_form import TokenForm
from everbearer.sandbox._twin import (
    FORM,
    ApiFace,
    InvalidLinkError,
    Login,
    OwnRoute,
    Parameters,
    TokenRoute,
    Twin,
    opaque,
)

if TYPE_CHECKING:
    from aiohttp import web

    from everbearer.providers import Provider, TokenCall
    from everbearer.sandbox._grants import AccessToken
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._world import World

__all__ = ["described"]

_MEDIA_TYPES: Final = {"form": FORM, "json": JSON}
_NO_HOSTS: Final = Hosts("", "", "")
_EXCHANGE: Final = "authorization_code"
_REFRESH: Final = "refresh_token"
_REVOKE: Final = "revoke"


def described(provider: Provider) -> Twin:
    """The twin that plays *provider*, with the path prefixes of its environment."""
    hosts = provider.hosts.get(provider.environment, _NO_HOSTS)
    reading = provider.answer
    spans = [each.name for each in reading.spans]
    return Twin(
        name=provider.name,
        title=provider.name,
        login=_login(provider),
        token=_token_routes(provider),
        token_response=partial(answers.token_response, provider),
        token_error=partial(answers.token_error, provider),
        api=ApiFace(
            documents="/v1/whoami",  # A description has no documents.
            routes=(),
            refuse=partial(answers.refuse, provider),
            bad_request=answers.bad_request,
        ),
        own=_own(provider, _prefix(hosts.token)),
        login_base=_prefix(hosts.login),
        token_base=_prefix(hosts.token),
        api_base=_prefix(hosts.api),
        scope=provider.authorize.scope_separator.join(provider.scopes),
        token_scheme=provider.token_scheme,
        access_token=_access_token(provider),
        also={
            "access_token": reading.access_token,
            "refresh_token": reading.refresh_token,
            "expires_in": spans[0] if spans else "expires_in",
        },
        defaults=_defaults(provider),
    )


def _defaults(provider: Provider) -> dict[str, Any]:
    known = {
        "rotation": provider.rotation,
        "replay_window": provider.replay_window,
        "minimum_age": provider.minimum_age,
        "old_access_dies": provider.old_access_dies,
        "refresh_idle_lifetime": provider.refresh_idle_lifetime,
        "state_returns": provider.callback.returns_state,
    }
    if provider.answer.default_lifetime is not None:
        known["access_lifetime"] = provider.answer.default_lifetime
    return known


def _prefix(base: str) -> str:
    return URL(base).path.rstrip("/")


def _login(provider: Provider) -> Login:
    link, callback = provider.authorize, provider.callback
    address = URL(link.path)
    fixed = {**address.query, **link.fixed}
    required = ["client_id", link.redirect_uri_name]
    if link.response_type is not None:
        fixed["response_type"] = link.response_type
    if provider.pkce is not None:
        required.append("code_challenge")
        fixed["code_challenge_method"] = provider.pkce

    def check(query: Mapping[str, str], _: Settings) -> None:
        if problem := _differing(fixed, query):
            raise InvalidLinkError(problem)
        if set(query.get("state", "")).intersection(callback.state_forbidden):
            raise InvalidLinkError("state has a character that is not returned")

    return Login(
        path=address.path,
        parameters=frozenset({*required, *fixed, "scope", "state"}),
        required=tuple(required),
        redirect_name=link.redirect_uri_name,
        code_name=callback.code_name,
        check=check,
        tells=partial(answers.told, callback.keep_extra),
        redirect_query=callback.redirect_query_allowed,
    )


def _differing(fixed: Mapping[str, str], given: Mapping[str, str]) -> str | None:
    wrong = sorted(name for name in fixed if given.get(name) != fixed[name])
    return f"not as described: {', '.join(wrong)}" if wrong else None


def _token_routes(provider: Provider) -> tuple[TokenRoute, ...]:
    calls: defaultdict[str, dict[str, TokenCall]] = defaultdict(dict)
    for kind, call in ((_EXCHANGE, provider.exchange), (_REFRESH, provider.refresh)):
        for path in (call.path, *call.other_paths):
            calls[_relative(path)][kind] = call
    return tuple(_route(provider, path, some) for path, some in calls.items())


_Authentication = Literal["basic", "body", "either"]


def _relative(path: str) -> str:
    """Below the token base, as with `Provider.with_hosts`."""
    return URL(path).raw_path_qs if "://" in path else f"/{path.lstrip('/')}"


def _route(provider: Provider, path: str, calls: Mapping[str, TokenCall]) -> TokenRoute:
    """One path, and what its calls have in common; they rarely differ."""
    some = calls.values()
    ways: set[_Authentication] = {_authentication(provider, call) for call in some}
    return TokenRoute(
        path,
        {kind: _parameters(provider, kind, call) for kind, call in calls.items()},
        names={call.grant_name: kind for kind, call in calls.items()},
        encodings=tuple({_MEDIA_TYPES[call.encoding]: None for call in some}),
        authentication=ways.pop() if len(ways) == 1 else "either",
        basic_encoded=not any(call.plain_basic for call in some),
    )


def _authentication(provider: Provider, call: TokenCall) -> _Authentication:
    if call.client_authentication != "client_secret_basic":
        return "body"
    return "either" if provider.secret_optional else "basic"


def _parameters(provider: Provider, kind: str, call: TokenCall) -> Parameters:
    required = {call.grant_name, *call.fixed}
    optional: set[str] = set()
    if kind == _EXCHANGE and call.sends_redirect_uri:
        required.add("redirect_uri")
    if kind == _EXCHANGE and provider.pkce is not None:
        required.add("code_verifier")
    if call.client_authentication != "client_secret_basic":
        required.add("client_id")
    if call.client_authentication == "client_secret_post":
        (optional if provider.secret_optional else required).add("client_secret")
    return Parameters(
        frozenset(required),
        frozenset(optional),
        code_name=call.grant_name,
        refresh_name=call.grant_name,
        public=provider.secret_optional or call.client_authentication == "none",
        check=partial(_differing, call.fixed),
    )


def _access_token(provider: Provider) -> Callable[[AccessToken, float], str]:
    """A JWT where its end is read from a claim."""
    claims = [each for each in provider.answer.spans[:1] if each.form == "claim"]
    if not claims:
        return opaque

    def make(token: AccessToken, now: float) -> str:
        return unverifiable({"iat": now, claims[0].name: token.expires_at})

    return make


def _own(provider: Provider, base: str) -> tuple[OwnRoute, ...]:
    call = provider.revoke
    if call is None:
        return ()
    route = _route(provider, _relative(call.path), {_REVOKE: call})

    async def revoke(world: World, request: web.Request) -> web.StreamResponse:
        """What is given names its grant, which ends (RFC 7009 section 2.1)."""
        body = await request.read()
        form = TokenForm.read(route, request, body, world.settings)
        if form.refusal is not None:
            return world.twin.token_error(form.refusal).response()
        for grant in answers.named(provider, world.grants, form.refresh_token):
            if grant.client_id == form.client_id:
                world.grants.end(grant, "revoked")
        return answers.DONE.response()

    return (OwnRoute("POST", base + route.path, revoke),)
