"""What an answer of the token endpoint means.  Pure: no I/O, no clock.

Decided by what the body says before what the status says: servers send
``invalid_grant`` with 400, 401, 403 and even 200, and errors as HTML with 200.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from everbearer import vocabulary as v
from everbearer._redact import excerpt
from everbearer.providers import TokenVerdict
from everbearer.token_endpoint._outcome import (
    Ambiguous,
    Granted,
    Misconfigured,
    Refused,
    Throttled,
    TooEarly,
    Unrecognised,
)
from everbearer.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from everbearer.providers import AccessTokenSpan, ErrorRule, Provider
    from everbearer.token_endpoint._outcome import Outcome

__all__ = ["classify"]

_LONGEST_LIFE: Final = 10 * 366 * 86400.0
_LONGEST_WAIT: Final = 86400.0
_LONGEST_TOKEN: Final = 64 * 1024
_THROTTLING: Final = frozenset({429, 503})
# May have been processed although the answer says otherwise (rule 2).
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
) -> Outcome:
    """Sort one complete answer.

    Args:
        provider: Whose answer it is.

        status, headers, body: As received; header names in any letter case.

        asked_at: Seconds since the epoch, from before the request was sent: the
            lifetime counts from there (RFC 6749 section 5.1).

        now: Seconds since the epoch.

        secrets: Hidden in descriptions; error bodies have echoed refresh tokens.
    """
    secrets = tuple(secrets)
    answer = _parsed(body)
    members = answer if isinstance(answer, dict) else {}
    code = _text(members.get(v.ERROR))
    description = _describe(status, members, body, secrets)
    retry_after = _retry_after(headers, now)
    verdict = _verdict(provider.error_rules, status, answer)
    success = 200 <= status < 300  # noqa: PLR2004 - RFC 9110 section 15.3
    if success and verdict is None and not members.get(v.ERROR):
        return _granted(provider, members, asked_at, status, description)
    if verdict is TokenVerdict.REFUSED:
        return Refused(code, description, status)
    if verdict is TokenVerdict.MISCONFIGURED:
        return Misconfigured(code, description, status)
    if verdict is TokenVerdict.TOO_EARLY:
        return TooEarly(retry_after, description)
    if verdict is TokenVerdict.THROTTLED or status in _THROTTLING:
        return Throttled(retry_after, description)
    if status >= 500 or status in _AMBIGUOUS:  # noqa: PLR2004 - section 15.6
        return Ambiguous(description, status)
    return Unrecognised(status, code, description)


def _parsed(body: bytes) -> Any:
    """The JSON in *body*, or None.  Content-Type is not asked: it is often wrong."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return excerpt(value) if isinstance(value, str) else ""


def _describe(
    status: int, members: Mapping[str, Any], body: bytes, secrets: tuple[str, ...]
) -> str:
    words = members.get(v.ERROR_DESCRIPTION) or members.get("message")
    if isinstance(words, str):
        return excerpt(words, secrets)
    if members.get(v.ERROR) or not (200 <= status < 300):  # noqa: PLR2004
        return excerpt(body[:2000].decode("utf-8", "replace"), secrets)
    return "the answer holds no acceptable access token"


def _verdict(
    rules: Iterable[ErrorRule], status: int, answer: object
) -> TokenVerdict | None:
    for rule in rules:
        if rule.statuses and status not in rule.statuses:
            continue
        found = {text.lower() for text in _found(answer, rule.json_path)}
        if found & {value.lower() for value in rule.values}:
            return rule.verdict
    return None


def _found(value: object, path: tuple[str, ...]) -> Iterable[str]:
    """Every text at *path*; ``*`` stands for each element of a list."""
    if not path:
        return [value] if isinstance(value, str) else []
    if path[0] == "*":
        elements = value if isinstance(value, list) else []
        return [text for element in elements for text in _found(element, path[1:])]
    return _found(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


def _granted(
    provider: Provider,
    members: Mapping[str, Any],
    asked_at: float,
    status: int,
    description: str,
) -> Outcome:
    reading = provider.answer
    access_token = members.get(reading.access_token)
    refresh_token = members.get(reading.refresh_token) or None
    if not _acceptable(access_token) or not (
        refresh_token is None or _acceptable(refresh_token)
    ):
        return Ambiguous(description, status)
    lifetime = _span(reading.spans, members)
    if lifetime is None:
        lifetime = reading.default_lifetime
    refresh_lifetime = _span(reading.refresh_spans, members)
    scope = members.get(v.SCOPE)
    return Granted(
        Token(
            access_token,
            refresh_token,
            _after(asked_at, lifetime),
            _after(asked_at, refresh_lifetime),
            scope if isinstance(scope, str) else None,
            {name: members[name] for name in reading.keep_extra if name in members},
        )
    )


def _acceptable(token: object) -> bool:
    """A token that may go into a header: RFC 6750 section 2.1 has no spaces either."""
    return (
        isinstance(token, str)
        and 0 < len(token) <= _LONGEST_TOKEN
        and token.isascii()
        and token.isprintable()
        and " " not in token
    )


def _span(
    spans: Iterable[AccessTokenSpan], members: Mapping[str, Any]
) -> float | None:
    for span in spans:
        seconds = _seconds(members.get(span.name))
        if seconds is not None:
            return seconds
    return None


def _seconds(value: object) -> float | None:
    """A lifetime in seconds; nonsense is nothing, not an error."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(seconds) or not 0 < seconds <= _LONGEST_LIFE:
        return None
    return seconds


def _after(asked_at: float, lifetime: float | None) -> datetime | None:
    if lifetime is None:
        return None
    return datetime.fromtimestamp(asked_at + lifetime, UTC)


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date."""
    value = next(
        (
            value
            for name, value in headers.items()
            if name.lower() == v.RETRY_AFTER.lower()
        ),
        None,
    )
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)
