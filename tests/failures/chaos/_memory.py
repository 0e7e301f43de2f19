"""How much memory a process has used."""

from __future__ import annotations

import resource
import sys

__all__ = ["megabytes"]


def megabytes() -> float:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
