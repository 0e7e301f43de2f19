"""Lifetimes and waits as servers write them, in seconds.  Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from everbearer.providers import AccessTokenSpan

__all__ = ["lifetime", "retry_after"]

_LONGEST_LIFE: Final = 10 * 366 * 86400.0
_LONGEST_WAIT: Final = 86400.0


def lifetime(
    spans: Iterable[AccessTokenSpan], members: Mapping[str, Any]
) -> float | None:
    """The first of *spans* that reads.

    RFC 6749 section 5.1 says a number of seconds; strings are common.  Nonsense
    (negative, zero, more than ten years, true, a list) is nothing, not an error: the
    token beside it is good.
    """
    for span in spans:
        seconds = _seconds(members.get(span.name))
        if seconds is not None:
            return seconds
    return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= _LONGEST_LIFE else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date; at most a day, None if nonsense."""
    wanted = v.RETRY_AFTER.lower()
    value = next((text for name, text in headers.items() if name.lower() == wanted), "")
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        seconds = float(value)
    else:
        try:
            date = parsedate_to_datetime(value)
            # "-0000" gives a naive datetime, and an HTTP date is always UTC.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        seconds -= now
    return min(max(seconds, 0.0), _LONGEST_WAIT) if not math.isnan(seconds) else None
