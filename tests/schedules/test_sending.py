"""What must hold before a refresh token leaves a process, and who sends it next."""

from __future__ import annotations

import asyncio
import logging

import pytest

from everbearer import StoreError
from everbearer.events import RefreshStarted
from everbearer.token_endpoint import Ambiguous, NotSent, Refused, Throttled
from everbearer.tokens import Standing

pytestmark = pytest.mark.asyncio


# ---- rules 2 and 3: what a flight leaves behind


async def test_a_connect_error_does_not_clear_somebody_elses_sending(world):
    """Rule 2: A sends and dies, B cannot connect: the token is unfinished still."""
    await world.connect()
    a = world.process("A", {"process": 5})
    b = world.process("B", {"outcome": NotSent("refused")})
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    assert await b.outcome() == "TemporarilyUnavailable"
    intent = (await world.record()).live_intent
    assert intent.holder == "A"
    assert intent.last_sent_at == world.time.wall() - world.time.passed
    assert await b.patiently() == "rotation_lost"
    started = [event.attempt for event in b.told(RefreshStarted)]
    assert started == ["last_resort", "last_resort"]


async def test_an_answer_after_the_deadline_is_not_overtaken(world):
    """Rule 3: A is freed at D with its request out: B waits for what A may save."""
    await world.connect()
    a = world.process("A", {"connect": 9, "process": 1, "answer": 58})
    b = world.process("B")
    first = a.calls()
    assert await first == "TemporarilyUnavailable"
    assert (await world.record()).lease is None
    assert await b.patiently() == "access-r1"
    assert world.sent == ["A r0"]
