"""Guards of the refresh protocol that can be taken away: rules 12 to 21.

Each names the run that shows what it is for: the known counterexample, which `search`
found or PROTOCOL gave, so that it need not be found again.
"""

from __future__ import annotations

from tests.failures.model._taken_away import TakenAway

GUARDS_OF_SAVING = (
    TakenAway(
        12,
        "the save does not compare",
        "stores._transitions:replace",
        "    if record is None or",
        "    if record:\n"
        "        rotation = evolve(\n"
        "            rotation, incarnation=record.incarnation, version=record.version\n"
        "        )\n"
        "    if record is None or",
        red="a newer authorization is gone",
        run=(
            ("call", 0),
            ("adopt", 1, 60.0),
        ),
    ),
    TakenAway(
        12,
        "the save is about the lease",
        "stores._transitions:replace",
        "if record.version > rotation.version and not _outdone(record, rotation):",
        "if record.lease is None or record.lease.id != rotation.flight:",
        red="its successor is in good hands",
        run=(
            ("trip", 0, "late"),
            ("call", 0),
        ),
    ),
    TakenAway(
        13,
        "versions start again",
        "stores._transitions:put",
        "incarnation=grant.incarnation,\n"
        "        version=record.version + 1 if record else 1,",
        'incarnation="one",\n        version=1,',
        red="a newer authorization is gone",
        run=(
            ("call", 0),
            ("adopt", 0, -1.0),
        ),
    ),
    TakenAway(
        14,
        "the stored one of two pairs is always adopted",
        "refresh._siblings:choose",
        "if not (ours is True and theirs is False):",
        "if True:",
        red="reused at a provider with a window",
        flavour="minting",
        run=(
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("trip", 1, "slow"),
            ("call", 1),
            ("until_sent",),
            ("wait", 3.5),
            ("recover", 0),
            ("wait", 1.5),
        ),
    ),
    TakenAway(
        15,
        "a refusal is not about its refresh token",
        "stores._transitions:refuse",
        "    if record is None or",
        "    if record:\n"
        "        refusal = evolve(\n"
        "            refusal,\n"
        "            incarnation=record.incarnation,\n"
        "            fingerprint=record.refresh_fingerprint,\n"
        "        )\n"
        "    if record is None or",
        red="a living grant was lost",
        run=(
            ("revoke",),
            ("call", 0),
            ("adopt", 1, 60.0),
        ),
    ),
    TakenAway(
        15,
        "a late save does not void a refusal",
        "stores._transitions:replace",
        "standing=Standing.CONNECTED",
        "standing=record.standing",
        flavour="lenient",
        red="a living grant was lost",
        run=(
            ("trip", 0, "slow"),
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("call", 1),
            ("until_sent",),
            ("wait", 1.5),
            ("recover", 0),
            ("wait", 6.0),
        ),
    ),
    TakenAway(
        16,
        "an authorization clears a throttle",
        "stores._transitions:put",
        "throttle=record.throttle if record else None",
        "throttle=None",
        red="before Retry-After",
        run=(
            ("trip", 0, "503"),
            ("call", 0),
            ("wait", 1.5),
            ("adopt", 0, -1.0),
            ("wait", 6.0),
            ("call", 0),
            ("wait", 1.5),
        ),
    ),
    TakenAway(
        16,
        "a save clears a throttle",
        "stores._transitions:replace",
        "back_off=None,",
        "back_off=None, throttle=None,",
        red="before Retry-After",
        run=(
            ("trip", 0, "slow"),
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("trip", 1, "503"),
            ("call", 1),
            ("until_sent",),
            ("wait", 1.5),
            ("recover", 0),
            ("wait", 6.0),
            ("reject",),
            ("call", 1),
            ("wait", 3.5),
        ),
    ),
    TakenAway(
        18,
        "replayed at once",
        "refresh._spending:grace",
        "    timing, clock = attempt.timing, attempt.clock\n",
        "    timing, clock = attempt.timing, attempt.clock\n"
        "    if attempt.registration.provider.replay_window:\n"
        "        return acquired.record\n",
        flavour="window",
        red="two requests at a time",
        run=(
            ("call", 0),
            ("until_sent",),
            ("kill", 0),
            ("call", 1),
            ("wait", 6.0),
        ),
    ),
    TakenAway(
        19,
        "a token is used before it is saved",
        "refresh._held:held_of",
        "if unsaved and provider.replay_window:",
        "if False:",
        flavour="closing",
        red="reused at a provider with a window",
        run=(
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("wait", 1.5),
            ("call", 1),
            ("wait", 12.0),
        ),
    ),
    TakenAway(
        19,
        "who saved it under a foreign lease uses it",
        "refresh._outcome:settled",
        "if account.registration.provider.replay_window and",
        "if False and",
        flavour="closing",
        red="reused at a provider with a window",
        run=(
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("trip", 1, "slow"),
            ("call", 1),
            ("until_sent",),
            ("recover", 0),
            ("wait", 1.5),
            ("call", 0),
            ("wait", 6.0),
        ),
    ),
    TakenAway(
        19,
        "others use what was saved under a foreign lease",
        "refresh._decision:decide",
        "if row.facts <= facts",
        "if row.facts <= facts - {Fact.CONTESTED}",
        flavour="closing",
        red="reused at a provider with a window",
        processes=3,
        run=(
            ("call", 0),
            ("until_sent",),
            ("trouble", 0, "cut off"),
            ("trip", 1, "slow"),
            ("call", 1),
            ("until_sent",),
            ("recover", 0),
            ("wait", 1.5),
            ("call", 2),
            ("wait", 6.0),
        ),
    ),
    TakenAway(
        21,
        "waiting for others has no end",
        "refresh._flight:Flight._wait_for_holder",
        "lease.until - now) + 0.01",
        "lease.until - now) + 100.0",
        red="nothing within",
        run=(
            ("call", 0),
            ("kill", 0),
        ),
    ),
)
