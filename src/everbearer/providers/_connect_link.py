"""What can be said of the connect link and of what comes back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AuthorizeEndpoint", "Callback"]


@frozen
class AuthorizeEndpoint:
    """The connect link (RFC 6749 section 4.1.1).

    Attributes:
        path: Below the login base URL.

        redirect_uri_name: What the provider calls ``redirect_uri``.

        response_type: Sent as such; None leaves it out.

        scope_separator: Between scopes.

        fixed: Sent always.
    """

    path: str
    redirect_uri_name: str = "redirect_uri"
    response_type: str | None = "code"
    scope_separator: str = " "
    fixed: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class Callback:
    """What comes back from the connect link (RFC 6749 section 4.1.2).

    Attributes:
        code_name: What the provider calls ``code``.

        state_forbidden: Characters that state may not have.

        redirect_query_allowed: Whether the redirect URI may have a query of its own.

        returns_state: Whether state is sure to come back; a callback without it is
            then refused (RFC 6749 section 10.12), whatever the caller knows.

        returns_issuer: Whether ``iss`` is sure to come back, with a code or an error
            (RFC 9207 section 3, ``authorization_response_iss_parameter_supported``);
            a callback without it is then refused.  It counts where `Hosts.issuer` is
            known.

        question_mark: Whether what comes back may be appended with ``?`` to a redirect
            URI that has a query already, as in ``/callback?a=1?code=x``.

        keep_extra: Further parameters that are kept, sealed, beside the token: which
            company or data centre the user chose.
    """

    code_name: str = "code"
    state_forbidden: str = ""
    redirect_query_allowed: bool = True
    returns_state: bool = True
    returns_issuer: bool = False
    question_mark: bool = False
    keep_extra: tuple[str, ...] = ()
