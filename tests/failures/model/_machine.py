"""The state machine that draws runs of a `Model`, within a budget of faults."""

from __future__ import annotations

import logging
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.failures.model._gated import FAULTY, SLOW, TROUBLES
from tests.failures.model._judge import Flavour
from tests.failures.model._model import HOLDERS, BrokenRuleError, Model

FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour("strict"),
        Flavour("lenient", revokes=False),
        Flavour("window", window=10_000.0),
        Flavour("closing", window=10_000.0, closes=True),
        Flavour("minting", window=10_000.0, mints=True),
    )
}
USERS_EVENTS = 2
STEPS = 14

which = st.integers(0, len(HOLDERS) - 1)
PAUSES = st.sampled_from([0.0, 0.3, 0.7, 1.5, 3.5, 6.0, 9.0, 12.0, 45.0])


class Machine(RuleBasedStateMachine):
    """Any steps in any order; after the last one, everything is healthy again.

    Attributes:
        flavour: Of the provider.

        faults: How many there may be in one run.
    """

    flavour: Flavour
    faults: int

    def __init__(self):
        super().__init__()
        self.left, self.events = self.faults, 0
        self.model = None
        self.broken = False

    @initialize(
        processes=st.integers(1, len(HOLDERS)),
        lifetime=st.sampled_from([-1.0, -1.0, 6.0, 60.0]),
        events=st.integers(0, USERS_EVENTS),
        told=st.booleans(),
    )
    def begins(self, processes, lifetime, events, told):
        self.events = events
        self.model = Model(self.flavour, processes, lifetime, told=told)

    def take(self, step, *arguments):
        try:
            self.model.do(step, *arguments)
        except BrokenRuleError as error:
            self.fail(error)

    def fail(self, error):
        self.broken = True
        model = self.model
        run = f"{model.flavour.name}, {model.begun}:\n{model.steps}"
        raise BrokenRuleError(f"{error}\n{run}") from None

    def one(self, number):
        return number % len(self.model.processes)

    # ---- callers and time

    @rule(number=which, seconds=PAUSES)
    def call(self, number, seconds):
        self.take("call", self.one(number))
        if seconds:
            self.take("wait", seconds)

    @rule(seconds=PAUSES.filter(bool))
    def wait(self, seconds):
        self.take("wait", seconds)

    @precondition(lambda self: any(each.callers for each in self.model.processes))
    @rule()
    def until_sent(self):
        self.take("until_sent")

    @rule(number=which, kind=st.sampled_from(sorted(SLOW)))
    def slow_call(self, number, kind):
        self.take("trip", self.one(number), kind)
        self.take("call", self.one(number))

    # ---- faults, and their ends

    @precondition(lambda self: self.left)
    @rule(number=which, kind=st.sampled_from(sorted(FAULTY)), calls=st.booleans())
    def trip(self, number, kind, calls):
        self.left -= 1
        self.take("trip", self.one(number), kind)
        if calls:
            self.take("call", self.one(number))

    @precondition(lambda self: self.left)
    @rule(number=which, kind=st.sampled_from((*sorted(TROUBLES), "stop", "kill")))
    def trouble(self, number, kind):
        self.left -= 1
        if kind in TROUBLES:
            self.take("trouble", self.one(number), kind)
        else:
            self.take(kind, self.one(number))

    @precondition(lambda self: self.left)
    @rule()
    def store_down(self):
        self.left -= 1
        self.take("store_down")

    @precondition(
        lambda self: (
            self.model.is_down or any(each.in_trouble for each in self.model.processes)
        )
    )
    @rule()
    def recover(self):
        if self.model.is_down:
            self.take("store_up")
        for number, process in enumerate(self.model.processes):
            if process.in_trouble:
                self.take("recover", number)

    # ---- users and administrators

    @precondition(lambda self: self.events and self.model.authorized)
    @rule(
        number=which,
        kind=st.sampled_from(["adopt", "adopt", "disconnect", "revoke", "reject"]),
        lifetime=st.sampled_from([-1.0, 60.0]),
    )
    def event(self, number, kind, lifetime):
        self.events -= 1
        arguments = {
            "adopt": (self.one(number), lifetime),
            "disconnect": (self.one(number),),
        }
        self.take(kind, *arguments.get(kind, ()))

    @precondition(lambda self: self.events and not self.model.authorized)
    @rule(number=which, lifetime=st.sampled_from([-1.0, 60.0]))
    def connect_again(self, number, lifetime):
        self.events -= 1
        self.take("adopt", self.one(number), lifetime)

    def teardown(self):
        if self.model is None:
            return
        try:
            if not self.broken:
                self.model.settle()
        except BrokenRuleError as error:
            self.fail(error)
        finally:
            self.model.close()


def search(flavour, faults, examples, *, random=False):
    """Draw *examples* runs, always the same ones unless *random*.

    Raises `BrokenRuleError`, with the run as `replay` takes it, at the first finding.
    """
    members = {"flavour": FLAVOURS[flavour], "faults": faults}
    machine = type("Machine", (Machine,), members)
    configured = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        # A finding is kept as a list of steps: shortening it can wait.
        phases=[Phase.generate],
        derandomize=not random,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with quietly():
        run_state_machine_as_test(machine, settings=configured)


def replay(flavour, run, *, processes=2, lifetime=-1.0, told=False):
    """Take the steps of *run* and settle; raises `BrokenRuleError` as `search` does."""
    with quietly():
        model = Model(FLAVOURS[flavour], processes, lifetime, told=told)
        try:
            for step in run:
                model.do(*step)
            model.settle()
        finally:
            model.close()


@contextmanager
def quietly():
    """Thousands of runs log millions of lines, which nobody reads."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
