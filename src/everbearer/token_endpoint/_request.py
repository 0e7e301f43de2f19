"""The token request of RFC 6749 as bytes.  Pure: no I/O, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

from attrs import field, frozen

from everbearer import vocabulary as v
from everbearer.errors import ConfigurationError
from everbearer.providers import check_base_url
from everbearer.token_endpoint._client_authentication import credentials
from everbearer.token_endpoint._grant import CodeGrant, RedirectUris, RefreshGrant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from everbearer.providers import Provider, Registration, TokenCall
    from everbearer.token_endpoint._grant import Grant

__all__ = ["TokenRequest", "call_for", "token_request"]


@frozen
class TokenRequest:
    """One POST.

    Attributes:
        url: Absolute; https, or loopback.

        headers: Complete; an Authorization header only for client_secret_basic.

        body: Encoded parameters.

        secrets: Every secret in it, in every spelling that an answer may echo, to be
            hidden in what is printed of that answer.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False, hash=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def token_request(
    registration: Registration,
    grant: Grant,
    secret: str | None,
    path: str | None = None,
) -> TokenRequest:
    """Encode *grant* the way the registration's provider wants it.

    Args:
        registration: Whose provider and client id.

        grant: What is presented.

        secret: The client secret, or None for a public client.

        path: Instead of the call's own one, one of its others.

    Raises:
        ConfigurationError: The provider has no such call, or it would carry secrets
            over plain http.
    """
    provider = registration.provider
    call = call_for(provider, grant)
    headers, authentication = credentials(call, registration.client_id, secret)
    content_type, body = _ENCODERS[call.encoding](
        {**call.fixed, **_parameters(call, grant), **authentication}
    )
    return TokenRequest(
        url=_url(provider, call.path if path is None else path),
        headers={
            **headers,
            "Accept": "application/json",
            "Content-Type": content_type,
        },
        body=body,
        secrets=_spellings(
            (secret, *_secrets(grant), headers.get(v.AUTHORIZATION, "").split(" ")[-1])
        ),
    )


def call_for(provider: Provider, grant: Grant) -> TokenCall:
    """The call that takes *grant*.

    Raises:
        ConfigurationError: The provider has no such call.
    """
    if isinstance(grant, CodeGrant):
        return provider.exchange
    if isinstance(grant, RefreshGrant):
        return provider.refresh
    if isinstance(grant, RedirectUris):
        if provider.redirects is None:
            raise ConfigurationError(
                f"{provider.name!r} has no call that registers redirect URIs"
            )
        return provider.redirects
    if provider.revoke is None:
        raise ConfigurationError(
            f"{provider.name!r} has no revocation call; its user ends the grant there"
        )
    return provider.revoke


def _parameters(call: TokenCall, grant: Grant) -> dict[str, str | list[str]]:
    if isinstance(grant, RedirectUris):
        return {call.grant_name: list(grant.uris)}
    if isinstance(grant, RefreshGrant):
        return {call.grant_name: grant.refresh_token}
    if not isinstance(grant, CodeGrant):
        return {call.grant_name: grant.token}
    parameters: dict[str, str | list[str]] = {call.grant_name: grant.code}
    if call.sends_redirect_uri and grant.redirect_uri is not None:
        parameters[v.REDIRECT_URI] = grant.redirect_uri
    if grant.code_verifier is not None:
        parameters[v.CODE_VERIFIER] = grant.code_verifier
    return parameters


def _secrets(grant: Grant) -> tuple[str | None, ...]:
    if isinstance(grant, RefreshGrant):
        return (grant.refresh_token,)
    if isinstance(grant, CodeGrant):
        return (grant.code, grant.code_verifier)
    return () if isinstance(grant, RedirectUris) else (grant.token,)


def _spellings(secrets: Iterable[str | None]) -> tuple[str, ...]:
    """Each secret plain, form-urlencoded, percent-encoded and as a JSON string."""
    found: dict[str, None] = {}
    for secret in filter(None, secrets):
        quoted = json.dumps(secret)[1:-1]
        for spelling in (
            secret,
            quote_plus(secret),
            quote(secret, safe=""),
            quoted,
            quoted.replace("/", "\\/"),
        ):
            found[spelling] = None
    return tuple(found)


def _url(provider: Provider, path: str) -> str:
    """Below the base URL, whose path prefix stays; an absolute path stands alone."""
    base = provider.base.token
    url = path if "://" in path else f"{base.rstrip('/')}/{path.lstrip('/')}"
    check_base_url(url, f"{provider.name} token call")
    return url


def _form(parameters: Mapping[str, str | list[str]]) -> tuple[str, bytes]:
    encoded = urlencode(parameters, doseq=True).encode()
    return "application/x-www-form-urlencoded", encoded


def _json(parameters: Mapping[str, str | list[str]]) -> tuple[str, bytes]:
    return "application/json", json.dumps(parameters).encode()


_ENCODERS = {"form": _form, "json": _json}
