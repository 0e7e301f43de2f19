"""The token request of RFC 6749 as bytes.  Pure: no I/O, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from attrs import field, frozen

from everbearer import vocabulary as v
from everbearer.errors import ConfigurationError
from everbearer.token_endpoint._client_authentication import credentials
from everbearer.token_endpoint._grant import CodeGrant, RefreshGrant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everbearer.providers import Provider, Registration, TokenCall
    from everbearer.token_endpoint._grant import Grant

__all__ = ["TokenRequest", "token_request"]


@frozen
class TokenRequest:
    """One POST.

    Attributes:
        url: Absolute.

        headers: Complete; an Authorization header only for client_secret_basic.

        body: Encoded parameters.

        secrets: Every secret in it, to be hidden in what is printed of the answer.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def token_request(
    registration: Registration, grant: Grant, secret: str | None
) -> TokenRequest:
    """Encode *grant* the way the registration's provider wants it.

    Raises:
        ConfigurationError: The provider has no such call.
    """
    provider = registration.provider
    call = _call_for(provider, grant)
    headers, body = credentials(call, registration.client_id, secret)
    parameters = {**call.fixed, **_parameters(call, grant), **body}
    encoding, encoded = _ENCODERS[call.encoding](parameters)
    return TokenRequest(
        url=_url(provider.base.token, call.path),
        headers={**headers, "Accept": "application/json", "Content-Type": encoding},
        body=encoded,
        secrets=tuple(
            value
            for value in (secret, *_secrets(grant), headers.get(v.AUTHORIZATION))
            if value
        ),
    )


def _call_for(provider: Provider, grant: Grant) -> TokenCall:
    if isinstance(grant, CodeGrant):
        return provider.exchange
    if isinstance(grant, RefreshGrant):
        return provider.refresh
    if provider.revoke is None:
        raise ConfigurationError(f"{provider.name!r} has no revocation call")
    return provider.revoke


def _parameters(call: TokenCall, grant: Grant) -> dict[str, str]:
    if isinstance(grant, RefreshGrant):
        return {call.grant_name: grant.refresh_token}
    if not isinstance(grant, CodeGrant):
        return {call.grant_name: grant.token}
    parameters = {call.grant_name: grant.code}
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
    return (grant.token,)


def _url(base: str, path: str) -> str:
    return path if "://" in path else base.rstrip("/") + path


def _form(parameters: Mapping[str, str]) -> tuple[str, bytes]:
    return "application/x-www-form-urlencoded", urlencode(parameters).encode()


def _json(parameters: Mapping[str, str]) -> tuple[str, bytes]:
    return "application/json", json.dumps(parameters).encode()


_ENCODERS = {"form": _form, "json": _json}
