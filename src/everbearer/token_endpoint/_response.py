"""What an answer of the token endpoint means.  Pure: no I/O, no clock.

Decided by what the body says before what the status says: servers send
``invalid_grant`` with 400, 401, 403 and even 200, and errors as HTML with 200.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from everbearer import vocabulary as v
from everbearer._redact import excerpt
from everbearer.providers import TokenVerdict
from everbearer.token_endpoint._document import (
    claims,
    found,
    parsed,
    storable,
    words,
)
from everbearer.token_endpoint._outcome import (
    Ambiguous,
    Granted,
    Misconfigured,
    Refused,
    Throttled,
    TooEarly,
    Unrecognised,
)
from everbearer.token_endpoint._spans import Answered, header, lifetime, retry_after
from everbearer.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from everbearer.providers import ErrorRule, Provider, TokenAnswer
    from everbearer.token_endpoint._outcome import Outcome

__all__ = ["classify", "classify_tokenless", "is_acceptable_token"]

_LONGEST_TOKEN: Final = 64 * 1024
# RFC 9110 section 15.6.4 and RFC 6585 section 4: not processed.
_THROTTLING: Final = frozenset({429, 503})
# RFC 9110 section 15.5.9 and RFC 8470 section 5.2: nobody knows how much was read.
_AMBIGUOUS: Final = frozenset({408, 425})


def classify(
    provider: Provider,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked_at: float,
    now: float,
    secrets: Iterable[str] = (),
    trouble: str = "",
) -> Outcome:
    """Sort one answer.  Never raises, whatever the server sent.

    Args:
        provider: Whose answer it is.

        status, headers, body: As received; header names in any letter case.

        asked_at: Seconds since the epoch, from before the request was sent: the
            lifetime counts from there (RFC 6749 section 5.1).

        now: Seconds since the epoch.

        secrets: Hidden in descriptions; error bodies have echoed refresh tokens.

        trouble: Why the body could not be had, if so; then the status decides alone.
    """
    secrets = tuple(secrets)
    content_type = header(headers, v.CONTENT_TYPE)
    answer = parsed(body, content_type)
    members = answer if isinstance(answer, dict) else {}
    verdict, matched = _verdict(provider.error_rules, status, answer)
    error = members.get(v.ERROR)
    success = 200 <= status < 300  # noqa: PLR2004 - RFC 9110 section 15.3
    if success and verdict is None and not error:
        return _granted(provider, members, asked_at, status, trouble)
    code = excerpt(error if isinstance(error, str) else matched, secrets)
    said = trouble or words(answer, body, content_type, secrets)
    if verdict is TokenVerdict.REFUSED:
        return Refused(code, said, status)
    if verdict is TokenVerdict.MISCONFIGURED:
        return Misconfigured(code, said, status)
    if verdict is TokenVerdict.TOO_EARLY:
        return TooEarly(retry_after(headers, now), said)
    if verdict is TokenVerdict.THROTTLED or status in _THROTTLING:
        return Throttled(retry_after(headers, now), said, status)
    if 400 <= status < 500 and status not in _AMBIGUOUS:  # noqa: PLR2004 - section 15.5
        return Unrecognised(status, code, said)
    return Ambiguous(said, status)


def classify_tokenless(
    provider: Provider,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked_at: float,
    now: float,
    secrets: Iterable[str] = (),
    trouble: str = "",
) -> Outcome:
    """The same where no token is asked for, as in a revocation.

    RFC 7009 section 2.2: the status says it all.
    """
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
        return Granted(Token(), "done")
    return classify(
        provider,
        status=status,
        headers=headers,
        body=body,
        asked_at=asked_at,
        now=now,
        secrets=secrets,
        trouble=trouble,
    )


def _verdict(
    rules: Iterable[ErrorRule], status: int, answer: object
) -> tuple[TokenVerdict | None, str]:
    """The first rule that matches, and the text in which it was found."""
    for rule in rules:
        if rule.statuses and status not in rule.statuses:
            continue
        if not rule.json_path:
            return rule.verdict, ""
        wanted = {value.casefold() for value in rule.values}
        for text in found(answer, rule.json_path):
            said = text.casefold()
            if (
                not wanted
                or said in wanted
                or (rule.beginning and said.startswith(tuple(wanted)))
            ):
                return rule.verdict, text
    return None, ""


def _granted(
    provider: Provider,
    members: Mapping[str, Any],
    asked_at: float,
    status: int,
    trouble: str,
) -> Outcome:
    reading = provider.answer
    names = (reading.access_token, *reading.other_access_tokens)
    access_token = next((found for name in names if (found := members.get(name))), None)
    refresh_token = members.get(reading.refresh_token)
    if not isinstance(refresh_token, str) or not refresh_token:
        # Omitted: the old one stays (RFC 6749 section 6).  Some servers write null.
        refresh_token = None
    if not is_acceptable_token(access_token):
        return Ambiguous(
            trouble or "no acceptable access token in the answer, which names no error",
            status,
        )
    if refresh_token is not None and not is_acceptable_token(refresh_token):
        return Ambiguous("the refresh token in the answer is unusable", status)
    answered = Answered(members, claims(access_token), asked_at)
    scope = members.get(v.SCOPE)
    return Granted(
        Token(
            access_token,
            refresh_token,
            _after(
                asked_at, lifetime(reading.spans, answered), reading.default_lifetime
            ),
            _after(
                asked_at,
                lifetime(reading.refresh_spans, answered),
                # Also of one that this answer leaves out, and so leaves valid.
                provider.refresh_idle_lifetime,
            ),
            scope if isinstance(scope, str) and storable(scope) else None,
            _extra(reading, members),
        )
    )


def _extra(reading: TokenAnswer, members: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an answer besides its tokens.

    The claims are not verified: section 3.1.3.7 of OpenID Connect Core lets TLS take
    the place of the signature where the id token comes from the token endpoint.
    """
    kept = {name: members.get(name) for name in reading.keep_extra}
    if reading.id_token is not None:
        kept["id_token"] = members.get(reading.id_token)
        kept["id_token_claims"] = claims(kept["id_token"]) or None
    return {
        name: value
        for name, value in kept.items()
        if (value is not None or name in members) and storable(value)
    }


def is_acceptable_token(token: object) -> bool:
    """Whether it can be stored and sent.

    RFC 6749 appendix A.12 and A.17: printable ASCII, at least one, and here no novel.
    RFC 6750 section 2.1: what goes into a header has no space.
    """
    return (
        isinstance(token, str)
        and 0 < len(token) <= _LONGEST_TOKEN
        and token.isascii()
        and token.isprintable()
        and " " not in token
    )


def _after(
    asked_at: float, said: float | None, default: float | None
) -> datetime | None:
    seconds = default if said is None else said
    return None if seconds is None else datetime.fromtimestamp(asked_at + seconds, UTC)
