"""The faults that can be scripted, each a constructor that says what goes wrong.

Common arguments: *company* restricts a fault to one company's grant, *times* is how
often it fires (None: until it is removed).  Faults of the token endpoint may also name
a *grant_type*, those of the API a *method* and the beginning of a *path*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, TypedDict, Unpack

from attrs import evolve, field, frozen
from attrs.validators import ge, in_, instance_of, optional

__all__ = [
    "BY_NAME",
    "ApiMatch",
    "Fault",
    "TokenMatch",
    "answer",
    "api_drop",
    "api_slow",
    "api_status",
    "drop_before",
    "early_401",
    "error_with_200",
    "html_200",
    "huge",
    "missing_access_token",
    "refuse",
    "rotate_and_drop",
    "slow",
    "spell",
    "status",
    "truncated_json",
]

Processed = Literal["no", "before", "after"]
"""Whether the request takes effect: not at all, before the fault's delay, or after."""

# 429 and 503 say that nothing was done; any other failure leaves the client guessing.
_SAYS_NOT_DONE: Final = frozenset({429, 503})
_FIRST_SERVER_ERROR: Final = 500
_JSON: Final = "application/json"
_TIMES: Final[Any] = optional(ge(1))
_HTML: Final = b"<!doctype html><title>Maintenance</title><h1>Back soon</h1>\n"


class Match(TypedDict, total=False):
    """Which requests a fault is for, and how many of them."""

    company: str | None
    times: int | None


class TokenMatch(Match, total=False):
    """Which token requests."""

    grant_type: str | None


class ApiMatch(Match, total=False):
    """Which API requests."""

    method: str | None
    path: str | None


@frozen(kw_only=True)
class Fault:
    """One planned fault.  Made by the functions of this module, not by hand.

    Attributes:
        kind: The constructor's name, as it stands in the ledger.

        at: ``token`` or ``api``.

        processed: See `Processed`.

        ambiguous: The client cannot know whether the request took effect.  A second
            presentation of the same refresh token is then a last resort.

        delay: Seconds that the answer is late.

        drop: Close the connection instead of answering.

        status: Answer this instead of the truth; None leaves the truth.

        body: Of that answer.

        size: Bytes to pad (or stream) the body to.

        headers: Of that answer.

        cut: Send the true answer's first half only.

        without: Leave this member out of the true answer.

        code: The token error that the API claims.

        after: Read this many bytes of the request's body, then answer at once.
    """

    kind: str
    at: Literal["token", "api"]
    company: str | None = None
    times: int | None = field(default=1, validator=_TIMES)
    grant_type: str | None = None
    method: str | None = None
    path: str | None = None
    processed: Processed = field(default="no", validator=in_(("no", "before", "after")))
    ambiguous: bool = False
    delay: float = field(default=0.0, validator=ge(0))
    drop: bool = False
    status: int | None = None
    # Kept out of the repr: an answer that is made up may quote a token.
    body: bytes = field(default=b"", repr=False, validator=instance_of(bytes))
    size: int = field(default=0, validator=ge(0))
    headers: Mapping[str, str] = field(factory=dict)
    cut: bool = False
    without: str | None = None
    code: str | None = None
    after: int | None = None

    def matches(
        self,
        at: str,
        company: str | None,
        *,
        grant_type: str | None = None,
        method: str | None = None,
        path: str = "",
    ) -> bool:
        """Whether this fault is for a request like that."""
        return (
            self.at == at
            and self.company in (None, company)
            and self.grant_type in (None, grant_type)
            and self.method in (None, method)
            and (self.path is None or path.startswith(self.path))
        )


def _processed(*, rotates: bool) -> Processed:
    return "before" if rotates else "no"


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _wait(retry_after: float | str | None) -> dict[str, str]:
    return {} if retry_after is None else {"Retry-After": str(retry_after)}


def rotate_and_drop(**match: Unpack[TokenMatch]) -> Fault:
    """Rotate, then close the connection without an answer."""
    return Fault(
        kind="rotate_and_drop",
        at="token",
        processed="before",
        ambiguous=True,
        drop=True,
        **match,
    )


def drop_before(**match: Unpack[TokenMatch]) -> Fault:
    """Close the connection without having done anything."""
    return Fault(kind="drop_before", at="token", ambiguous=True, drop=True, **match)


def status(
    status: int,
    *,
    retry_after: float | str | None = None,
    body: bytes | str = b"",
    rotates: bool = False,
    **match: Unpack[TokenMatch],
) -> Fault:
    """Answer *status*; with *rotates*, after having rotated."""
    unknown = status >= _FIRST_SERVER_ERROR and status not in _SAYS_NOT_DONE
    return Fault(
        kind=f"status {status}",
        at="token",
        processed=_processed(rotates=rotates),
        ambiguous=rotates or unknown,
        status=status,
        body=_bytes(body),
        headers=_wait(retry_after),
        **match,
    )


def spell(
    status: int = 503,
    *,
    retry_after: float | str | None = None,
    company: str | None = None,
    grant_type: str | None = None,
) -> Fault:
    """Answer *status* until the fault is removed."""
    return Fault(
        kind=f"spell {status}",
        at="token",
        times=None,
        ambiguous=status not in _SAYS_NOT_DONE,
        status=status,
        headers=_wait(retry_after),
        company=company,
        grant_type=grant_type,
    )


def html_200(*, rotates: bool = False, **match: Unpack[TokenMatch]) -> Fault:
    """Answer a page of HTML with 200, as gateways do."""
    page = answer(
        _HTML, headers={"Content-Type": "text/html"}, rotates=rotates, **match
    )
    return evolve(page, kind="html_200")


def truncated_json(*, rotates: bool = True, **match: Unpack[TokenMatch]) -> Fault:
    """Answer half of the true answer; without *rotates*, of an invented one."""
    if rotates:
        return Fault(
            kind="truncated_json",
            at="token",
            processed="before",
            ambiguous=True,
            cut=True,
            **match,
        )
    half = answer(b'{"token_type":"Bearer","expires_', **match)
    return evolve(half, kind="truncated_json")


def slow(
    seconds: float,
    *,
    rotates: Literal["before", "after"] = "before",
    **match: Unpack[TokenMatch],
) -> Fault:
    """Answer truly, *seconds* late; *rotates* before or after them.

    Whether a client that gave up is in doubt is seen from its connection.
    """
    return Fault(kind="slow", at="token", processed=rotates, delay=seconds, **match)


def answer(
    body: bytes | str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    rotates: bool = False,
    **match: Unpack[TokenMatch],
) -> Fault:
    """Answer *body*, whatever it is."""
    return Fault(
        kind="answer",
        at="token",
        processed=_processed(rotates=rotates),
        ambiguous=True,
        status=status,
        body=_bytes(body),
        headers={"Content-Type": _JSON, **(headers or {})},
        **match,
    )


def missing_access_token(
    *, rotates: bool = False, **match: Unpack[TokenMatch]
) -> Fault:
    """Answer 200 without the access token; with *rotates* the rest is the truth."""
    if rotates:
        return Fault(
            kind="missing_access_token",
            at="token",
            processed="before",
            ambiguous=True,
            without="access_token",
            **match,
        )
    rest = answer(b'{"token_type":"Bearer","expires_in":3600}', **match)
    return evolve(rest, kind="missing_access_token")


def error_with_200(code: str = "invalid_grant", **match: Unpack[TokenMatch]) -> Fault:
    """Answer an RFC 6749 error with 200."""
    return evolve(answer(json.dumps({"error": code}), **match), kind="error_with_200")


def huge(size: int = 50_000_000, **match: Unpack[TokenMatch]) -> Fault:
    """Stream *size* bytes of JSON with 200."""
    return Fault(
        kind="huge",
        at="token",
        ambiguous=True,
        status=200,
        size=size,
        headers={"Content-Type": _JSON},
        **match,
    )


def early_401(
    *,
    after: int = 65_536,
    code: str = "AccessTokenExpired",
    **match: Unpack[ApiMatch],
) -> Fault:
    """Claim the token error *code* when *after* bytes of the body have arrived."""
    return Fault(kind="early_401", at="api", code=code, after=after, **match)


def refuse(
    code: str = "AccessTokenExpired",
    *,
    status: int | None = None,
    size: int = 0,
    **match: Unpack[ApiMatch],
) -> Fault:
    """Claim the token error *code*, padded to *size* bytes, whatever the token."""
    return Fault(kind="refuse", at="api", code=code, status=status, size=size, **match)


def api_status(
    status: int,
    *,
    retry_after: float | str | None = None,
    body: bytes | str = b"",
    size: int = 0,
    **match: Unpack[ApiMatch],
) -> Fault:
    """Answer *status* with *body*, padded with blanks to *size* bytes."""
    return Fault(
        kind=f"api_status {status}",
        at="api",
        status=status,
        body=_bytes(body),
        size=size,
        headers=_wait(retry_after),
        **match,
    )


def api_slow(seconds: float, **match: Unpack[ApiMatch]) -> Fault:
    """Answer truly, *seconds* late."""
    return Fault(kind="api_slow", at="api", processed="after", delay=seconds, **match)


def api_drop(**match: Unpack[ApiMatch]) -> Fault:
    """Close the connection without an answer."""
    return Fault(kind="api_drop", at="api", drop=True, **match)


BY_NAME: Final = {
    each.__name__: each
    for each in (
        answer,
        api_drop,
        api_slow,
        api_status,
        drop_before,
        early_401,
        error_with_200,
        html_200,
        huge,
        missing_access_token,
        refuse,
        rotate_and_drop,
        slow,
        spell,
        status,
        truncated_json,
    )
}
