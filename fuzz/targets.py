"""What is fuzzed, and what must hold of every result.

Each target takes the bytes of one input, in a form that people can write by hand, and
raises for whatever breaks a promise: an exception outside the error tree, a token that
could not be sent, a lifetime out of bounds, a secret in a text.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from everbearer import providers
from everbearer.authorization._callback import CallbackValues, read_callback
from everbearer.errors import CallbackError, StoreError
from everbearer.providers import Provider, standard_provider
from everbearer.stores._serialize import (
    dump_pending,
    dump_record,
    dump_secret,
    parse_pending,
    parse_record,
)
from everbearer.token_endpoint import Granted, classify, is_acceptable_token
from everbearer.tokens import AccountKey, TokenRecord
from everbearer.transport._challenge import bearer_errors
from everbearer.transport._foreign import is_rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TARGETS"]

SECRET: Final = "canary-refresh-token/+="
ASKED_AT: Final = 1_800_000_000.0
TEN_YEARS: Final = 10 * 366 * 86400.0
A_DAY: Final = 86400.0
LONGEST_TEXT: Final = 203  # and "..."

STANDARD: Final = standard_provider(
    "standard",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
    api_base="https://api.example",
    keep_extra=("business_info", "scope"),
)
PROVIDERS: Final = {
    each.name: each
    for name in providers.__all__
    if isinstance(each := getattr(providers, name), Provider)
} | {STANDARD.name: STANDARD}


def _message(data: bytes) -> tuple[list[str], list[tuple[str, str]], bytes]:
    """The first line's words, the headers and the body of something like HTTP."""
    head, _, body = data.partition(b"\n\n")
    # As aiohttp decodes headers.
    first, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    parted = [line.partition(":") for line in lines]
    headers = [(name.strip(), value) for name, _, value in parted]
    return first.split() or [""], headers, body


def _status(word: str) -> int:
    return int(word) if re.fullmatch("[1-9][0-9][0-9]", word) else 200


def _is_safe(text: str) -> None:
    """A text that may be logged: one line, short, and no secret in it."""
    assert len(text) <= LONGEST_TEXT, len(text)
    assert text.isprintable(), text
    assert SECRET not in text, text


def token_response(data: bytes) -> None:
    """``200 billit``, header lines, an empty line and a body."""
    first, headers, body = _message(data)
    provider = PROVIDERS.get(first[-1], STANDARD)
    outcome = classify(
        provider,
        status=_status(first[0]),
        headers=dict(headers),
        body=body,
        asked_at=ASKED_AT,
        now=ASKED_AT + 1,
        secrets=(SECRET,),
    )
    _is_safe(outcome.description)
    _is_safe(getattr(outcome, "code", ""))
    pause = getattr(outcome, "retry_after", None)
    assert pause is None or 0 <= pause <= A_DAY, pause
    if not isinstance(outcome, Granted):
        return
    token = outcome.token
    assert is_acceptable_token(token.access_token)
    assert token.refresh_token is None or is_acceptable_token(token.refresh_token)
    for ends in (token.expires_at, token.refresh_expires_at):
        if ends is not None:
            asked = datetime.fromtimestamp(ASKED_AT, UTC)
            assert 0 <= (ends - asked).total_seconds() <= TEN_YEARS, ends
    record = TokenRecord(AccountKey("billit", "acme"), "i", 1, token, 0.0)
    written = dump_secret(record, {})
    assert parse_record(ROW, written).record.token.extra == token.extra


def api_answer(data: bytes) -> None:
    """``401 billit``, WWW-Authenticate values as lines, an empty line and a body."""
    first, headers, body = _message(data)
    provider = PROVIDERS.get(first[-1], STANDARD)
    lines = [value for name, value in headers if name.lower() == "www-authenticate"]
    found = bearer_errors(lines)
    assert found == frozenset().union(*(bearer_errors([line]) for line in lines))
    # Whatever else comes: a challenge in a line of its own is seen.
    assert bearer_errors([*lines, 'Bearer error="seen"']) == found | {"seen"}
    is_rejection(provider.expiry_signals, _status(first[0]), dict(headers), body)


def callback(data: bytes) -> None:
    """A callback URL as received."""
    url = data.decode("utf-8", "surrogateescape")
    read = _read(url)
    if read is None:
        return
    assert bool(read.codes) != (read.error is not None)
    _is_safe(read.error or "")
    _is_safe(read.error_description)
    for text in (*read.codes.values(), *read.extra.values(), read.state or ""):
        text.encode()
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    assert _read(values) == read


def _read(callback: object) -> CallbackValues | None:
    try:
        return read_callback(
            callback, ("code", "authToken"), ("authToken",), ("supportCode",)
        )
    except CallbackError as error:
        assert error.code == "malformed", error
        _is_safe(error.description)
        return None


ROW: Final[Mapping[str, Any]] = {
    "provider": "standard",
    "account": "acme",
    "state_fingerprint": "f" * 32,
    "incarnation": "0" * 32,
    "version": 1,
    "minted_at": ASKED_AT,
    "standing": "connected",
    "reason": None,
    "since": None,
    "detail": "",
    "client_id": "client",
    "token_origin": "https://login.example",
    "rejections": 0,
    "known": "[]",
    "expires_at": ASKED_AT,
    "refresh_expires_at": None,
    "lease_id": None,
    "lease_holder": None,
    "lease_until": None,
    "intent_fingerprint": None,
    "intent_first_sent_at": None,
    "intent_last_sent_at": None,
    "intent_flights": None,
    "intent_holder": None,
} | {
    f"{group}_{name}": None
    for group in ("back_off", "throttle")
    for name in ("kind", "until", "fingerprint", "attempts", "first_at", "message")
}


def record(data: bytes) -> None:
    """Columns as JSON in the first line, what was sealed in the rest."""
    line, _, plain = data.partition(b"\n")
    try:
        columns = json.loads(line)
    except (ValueError, RecursionError):
        columns = {}
    row = {**ROW}
    if isinstance(columns, dict):
        # A column is a number, a text or nothing.
        row |= {
            name: value
            for name, value in columns.items()
            if name in ROW and not isinstance(value, dict | list)
        }
    try:
        stored = parse_record(row, plain)
    except StoreError as error:
        assert SECRET not in str(error)
    else:
        again = dump_secret(stored.record, stored.unknown)
        columns = dump_record(stored.record)
        twice = parse_record({**row, **columns}, again)
        assert dump_record(twice.record) == columns
        assert dump_secret(twice.record, twice.unknown) == again
    try:
        pending = parse_pending(row, plain)
    except StoreError as error:
        assert SECRET not in str(error)
    else:
        assert parse_pending(row, dump_pending(pending)) == pending


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each for each in (token_response, api_answer, callback, record)
}
