"""How long a started authorization is remembered."""

from __future__ import annotations

from typing import Final

__all__ = ["FORGOTTEN_AFTER"]

FORGOTTEN_AFTER: Final = 86_400.0
"""Seconds past its end.  Whoever opens yesterday's link is told "expired" and whoever
sends a callback twice "reused"; after that both are "unknown"."""
