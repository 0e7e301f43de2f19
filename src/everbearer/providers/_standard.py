"""Any server that follows RFC 6749, 6750 and 7636, with the commonest departures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from everbearer import vocabulary as v
from everbearer.errors import ConfigurationError
from everbearer.providers._base_url import check_base_url
from everbearer.providers._description import (
    AuthorizeEndpoint,
    Callback,
    ErrorRule,
    ExpirySignal,
    Hosts,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everbearer.providers._description import ClientAuthentication

__all__ = ["STANDARD_ERROR_RULES", "STANDARD_EXPIRY_SIGNALS", "standard_provider"]

STANDARD_EXPIRY_SIGNALS = (
    # RFC 6750 section 3.1: the token is "expired, revoked, malformed, or invalid".
    ExpirySignal(
        Verdict.INVALID,
        statuses=frozenset({401}),
        www_authenticate_error=v.INVALID_TOKEN,
        proves_unprocessed=True,
    ),
)
BARE_401 = ExpirySignal(
    # Section 3: a request "lacks valid credentials" though it carried a token.
    Verdict.INVALID,
    statuses=frozenset({401}),
    proves_unprocessed=True,
)
BARE_403 = ExpirySignal(
    # With a challenge it means something else: insufficient_scope (RFC 6750 s. 3.1).
    Verdict.INVALID,
    statuses=frozenset({403}),
    www_authenticate_error="",
    proves_unprocessed=True,
)
STANDARD_ERROR_RULES = (
    # RFC 6749 section 5.2.  Decided by the code, never by the status alone: servers
    # send invalid_grant with 400, 401, 403 and even 200.
    ErrorRule(TokenVerdict.REFUSED, values=frozenset({v.INVALID_GRANT})),
    ErrorRule(
        TokenVerdict.MISCONFIGURED,
        values=frozenset(
            {
                v.INVALID_CLIENT,
                v.UNAUTHORIZED_CLIENT,
                "unsupported_grant_type",
                "invalid_scope",
            }
        ),
    ),
    # RFC 8628 section 3.5 and common usage.
    ErrorRule(TokenVerdict.THROTTLED, values=frozenset({"slow_down"})),
)


def _split(url: str, what: str) -> tuple[str, str]:
    parsed = check_base_url(url, what)
    return str(parsed.origin()), parsed.raw_path_qs


def standard_provider(
    name: str,
    *,
    authorize_url: str,
    token_url: str,
    api_base: str,
    revoke_url: str | None = None,
    client_authentication: ClientAuthentication = "client_secret_basic",
    pkce: Literal["S256", "plain"] | None = "S256",
    scopes: Sequence[str] = (),
    rotation: Literal["never", "every_use", "sometimes"] = "every_use",
    replay_window: float = 0.0,
    old_access_dies: bool = False,
    refresh_idle_lifetime: float | None = None,
    minimum_age: float = 0.0,
    leeway: float = 60.0,
    default_lifetime: float | None = None,
    bare_401: bool = True,
    bare_403: bool = False,
    plain_basic: bool = False,
    issuer: str | None = None,
    returns_issuer: bool = False,
    encoding: Literal["form", "json"] = "form",
    authorize_params: Mapping[str, str] | None = None,
    keep_extra: Sequence[str] = (),
) -> Provider:
    """Describe a server that follows the RFCs.

    Args:
        name: Short name; the default name of a registration with it.

        authorize_url: Where the user is sent (RFC 6749 section 3.1).

        token_url: The token endpoint (section 3.2).

        api_base: Relative paths of API calls are appended to it; its origin is the
            one that gets the token.

        revoke_url: RFC 7009, if there is one.

        client_authentication: Section 2.3.1; ``none`` for public clients.

        pkce: RFC 7636; None only for servers that choke on it.

        scopes: Asked for unless the registration says otherwise.

        rotation: ``every_use`` is the safe assumption.

        replay_window: Seconds for which a spent refresh token is still taken.

        old_access_dies: Whether a refresh ends the previous access token at once.

        refresh_idle_lifetime: Seconds after which a refresh token that nobody uses
            ends; the keeper goes by it.

        minimum_age: Seconds before which a token cannot be refreshed.

        leeway: Seconds before expiry from which a token is stale.

        default_lifetime: Seconds, where answers lack ``expires_in``.

        bare_401: Whether a 401 without a challenge means the token.

        bare_403: Whether a 403 without a challenge means it too, as in the plain
            views of django-oauth-toolkit.

        plain_basic: Whether the server takes client id and secret in Basic as they
            are, without the form-urlencoding of section 2.3.1.

        issuer: Its issuer identifier, to the letter (RFC 8414 section 2, the member
            ``issuer`` of its metadata).  A callback that names another is refused.

        returns_issuer: Whether callbacks are sure to name it (RFC 9207 section 3, the
            member ``authorization_response_iss_parameter_supported``), also those with
            an error; one that does not is refused then.

        encoding: Of token requests; RFC 6749 says form.

        authorize_params: Sent with every connect link.

        keep_extra: Members of token responses to keep.

    Raises:
        ConfigurationError: A URL is not usable, or a value is none of those above.
    """
    for what, value, choices in (
        (
            "client_authentication",
            client_authentication,
            ("client_secret_basic", "client_secret_post", "none"),
        ),
        ("pkce", pkce, ("S256", "plain", None)),
        ("rotation", rotation, ("never", "every_use", "sometimes")),
        ("encoding", encoding, ("form", "json")),
    ):
        if value not in choices:
            known = ", ".join(map(repr, choices))
            raise ConfigurationError(f"{name}: {what} is {value!r}, not one of {known}")
    for what, seconds in (
        ("replay_window", replay_window),
        ("minimum_age", minimum_age),
        ("leeway", leeway),
        ("default_lifetime", default_lifetime or 0.0),
    ):
        if not 0 <= seconds < math.inf:
            raise ConfigurationError(f"{name}: {what} is {seconds}: seconds from 0")
    if returns_issuer and issuer is None:
        raise ConfigurationError(f"{name}: returns_issuer needs the issuer itself")
    login, authorize_path = _split(authorize_url, f"{name} authorize_url")
    token, token_path = _split(token_url, f"{name} token_url")
    check_base_url(api_base, f"{name} api_base")
    revoke = None
    if revoke_url is not None:
        origin, revoke_path = _split(revoke_url, f"{name} revoke_url")
        revoke = TokenCall(
            revoke_path if origin == token else revoke_url,
            v.TOKEN,
            encoding,
            client_authentication,
            fixed={"token_type_hint": v.REFRESH_TOKEN},
            plain_basic=plain_basic,
        )
    return Provider(
        name=name,
        hosts={"production": Hosts(login, token, api_base, issuer)},
        environment="production",
        authorize=AuthorizeEndpoint(authorize_path, fixed=dict(authorize_params or {})),
        exchange=TokenCall(
            token_path,
            v.CODE,
            encoding,
            client_authentication,
            fixed={v.GRANT_TYPE: v.AUTHORIZATION_CODE},
            sends_redirect_uri=True,
            plain_basic=plain_basic,
        ),
        refresh=TokenCall(
            token_path,
            v.REFRESH_TOKEN,
            encoding,
            client_authentication,
            fixed={v.GRANT_TYPE: v.REFRESH_TOKEN},
            plain_basic=plain_basic,
        ),
        revoke=revoke,
        callback=Callback(returns_issuer=returns_issuer),
        answer=TokenAnswer(
            default_lifetime=default_lifetime, keep_extra=tuple(keep_extra)
        ),
        scopes=tuple(scopes.split() if isinstance(scopes, str) else scopes),
        pkce=pkce,
        rotation=rotation,
        replay_window=replay_window,
        old_access_dies=old_access_dies,
        refresh_idle_lifetime=refresh_idle_lifetime,
        minimum_age=minimum_age,
        leeway=leeway,
        expiry_signals=STANDARD_EXPIRY_SIGNALS
        + ((BARE_401,) if bare_401 else ())
        + ((BARE_403,) if bare_403 else ()),
        error_rules=STANDARD_ERROR_RULES,
    )
