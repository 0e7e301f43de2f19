"""Lifetimes and waits as servers write them, in seconds.  Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from everbearer.providers import AccessTokenSpan

__all__ = ["Answered", "header", "http_date", "lifetime", "retry_after"]

_LONGEST_LIFE: Final = 10 * 366 * 86400.0
_LONGEST_WAIT: Final = 86400.0
# In seconds this is the year 5138, in milliseconds 1973.
_MILLISECONDS_FROM: Final = 1e11
_DURATION: Final = re.compile(
    r"(?i)(?P<count>[0-9]{1,9}(\.[0-9]{1,9})?)\s{0,9}"
    r"(?P<unit>s(ec(ond)?s?)?|m(in(ute)?s?)?|h((ou)?rs?)?|d(ays?)?|w(eeks?)?)"
)
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@frozen
class Answered:
    """What an answer says of its access token's life.

    Attributes:
        members: Of the token response.

        claims: Of the access token, if it is a JWT.

        asked_at: Seconds since the epoch, from before the request was sent.
    """

    members: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    asked_at: float


def lifetime(spans: Iterable[AccessTokenSpan], answered: Answered) -> float | None:
    """The first of *spans* that reads, in seconds from when it was asked for.

    RFC 6749 section 5.1 says a number of seconds; strings are common.  Nonsense
    (negative, zero, more than ten years, true, a list) is nothing, not an error: the
    token beside it is good.
    """
    for span in spans:
        seconds = _READERS[span.form](span.name, answered)
        if seconds is not None and 0 < seconds <= _LONGEST_LIFE:
            return seconds
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _seconds(name: str, answered: Answered) -> float | None:
    return _number(answered.members.get(name))


def _duration(name: str, answered: Answered) -> float | None:
    value = answered.members.get(name)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return _number(value)
    return float(match["count"]) * _UNITS[match["unit"][0].lower()]


def _instant(name: str, answered: Answered) -> float | None:
    moment = _moment(answered.members.get(name))
    return None if moment is None else moment - answered.asked_at


def _claim(name: str, answered: Answered) -> float | None:
    """The shorter of what is left by this clock and of what the issuer gave.

    Where the clocks disagree so much that nothing is left, only the latter.
    """
    ends, began = (_number(answered.claims.get(each)) for each in (name, "iat"))
    if ends is None:
        return None
    left = ends - answered.asked_at
    given = left if began is None else ends - began
    return min(left, given) if left > 0 else given


def _moment(value: object) -> float | None:
    """Seconds since the epoch; a text without its offset could be anywhere."""
    number = _number(value)
    if number is not None:
        return number / 1000 if number > _MILLISECONDS_FROM else number
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


_READERS: Final[Mapping[str, Callable[[str, Answered], float | None]]] = {
    "seconds": _seconds,
    "duration": _duration,
    "instant": _instant,
    "claim": _claim,
}


def header(headers: Mapping[str, str], wanted: str) -> str:
    """The value of *wanted*, whatever the case of its letters; "" if there is none."""
    name = wanted.lower()
    return next((text for each, text in headers.items() if each.lower() == name), "")


def http_date(text: str) -> float | None:
    """RFC 9110 section 5.6.7: seconds since the epoch, or None if it is no date."""
    try:
        date = parsedate_to_datetime(text)
        # "-0000" gives a naive datetime, and an HTTP date is always UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date; at most a day, None if nonsense."""
    value = header(headers, v.RETRY_AFTER).strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        seconds = float(value)
    else:
        date = http_date(value)
        if date is None:
            return None
        seconds = date - now
    return min(max(seconds, 0.0), _LONGEST_WAIT) if not math.isnan(seconds) else None
