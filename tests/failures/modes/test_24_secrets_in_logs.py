"""Mode 24: tokens and secrets are read in logs, in texts of errors and in pickles.

Promised: what holds a secret prints without it and is not pickled; what a provider
echoes is cut out of its words; logs and events name accounts, stations and keyed
fingerprints; what is stored is sealed.  Every test of this suite looks for the secrets
that came into being in it; these say by name where to look.
"""

from __future__ import annotations

import json
import logging
import pickle
import secrets
import traceback

import aiohttp
import pytest

from everbearer import EverbearerError
from everbearer.sandbox import faults
from everbearer.stores import SqliteStore

pytestmark = pytest.mark.asyncio


def pickled(error):
    """What a queue would carry; aiohttp's errors with headers are none of that."""
    try:
        return pickle.dumps(error).decode("latin-1")
    except TypeError:
        return ""


@pytest.fixture(name="texts")
def _texts(scene, caplog):
    """Everything that somebody could read: logs at DEBUG, events, an error."""

    def texts(error):
        trace = traceback.TracebackException.from_exception(error)
        return "\n".join(
            [
                *(f"{record.getMessage()} {vars(record)}" for record in caplog.records),
                *map(repr, scene.events),
                f"{error} {error!r} {error.args!r} {vars(error)!r}",
                *trace.format(),
                pickled(error),
            ]
        )

    with caplog.at_level(logging.DEBUG):
        yield texts


ECHOES = {
    "in the description": lambda sent: (
        400,
        json.dumps({"error": "invalid_grant", "error_description": f"no {sent} here"}),
    ),
    "as the error": lambda sent: (400, json.dumps({"error": sent})),
    "in a page": lambda sent: (500, f"<h1>Oops</h1><p>could not use {sent}</p>"),
    "at the cut": lambda sent: (500, "x" * 190 + sent),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_what_the_token_endpoint_echoes(scene, whoami, texts, echo):
    """The refresh token and the client secret that were sent come back to nobody."""
    scene.sandbox.settings.client_secret = secret = secrets.token_urlsafe(24)
    acme = await scene.acme(expired=True)
    spent = (await scene.record()).token.refresh_token
    status, body = echo(f"{spent} {secret}")
    scene.sandbox.script.add(faults.answer(body, status=status))
    with pytest.raises(EverbearerError) as caught:
        await whoami(acme)
    told = texts(caught.value)
    assert "<hidden>" in told
    for hidden in (spent, secret, spent[:12], secret[:12]):
        assert hidden not in told


async def test_what_was_granted_and_is_unreadable(scene, whoami, texts):
    """Half of a token response is nobody's error message."""
    acme = await scene.acme(expired=True)
    granted = secrets.token_urlsafe(24)
    body = '{"expires_in":3600,"access_token":"' + granted
    scene.sandbox.script.add(faults.answer(body, status=500))
    with pytest.raises(EverbearerError) as caught:
        await whoami(acme)
    assert granted[:12] not in texts(caught.value)


async def test_what_aiohttp_keeps_of_a_request(scene, texts):
    """Its errors hold the request's headers, and print and pickle them masked."""
    acme = await scene.acme()
    with pytest.raises(aiohttp.ClientResponseError) as caught:
        await acme.get("/v1/nowhere", raise_for_status=True)
    info = caught.value.request_info
    token = info.headers["Authorization"].access_token
    told = f"{texts(caught.value)} {info!r} {dict(info.headers)!r}"
    assert token[:12] not in told
    assert token not in pickled(dict(info.headers))


def misuse(token):
    """A mistake, with a token among the variables."""
    return len(token)


async def test_a_token_prints_nothing(scene, caplog):
    """Neither by repr, str, format and logging, nor among a traceback's locals."""
    await scene.acme()
    record = await scene.record()
    token = record.token
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("theirs").info("%s %r %s", token, token, [token])
    with pytest.raises(TypeError) as caught:
        misuse(token)
    trace = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    shown = f"{token} {token!r} {token!s:>9} {record!r} {caplog.text}"
    shown += "".join(trace.format())
    assert "Token(access_token=<hidden>" in shown
    for secret in (token.access_token, token.refresh_token):
        assert secret[:12] not in shown


async def test_a_registration_prints_no_secret(scene):
    """Who prints what a program is configured with reads the client id alone."""
    scene.sandbox.settings.client_secret = secret = secrets.token_urlsafe(24)
    registration = scene.registration()
    shown = f"{registration} {registration!r}"
    assert registration.client_id in shown
    assert secret[:12] not in shown


async def test_what_is_not_pickled(scene):
    """A Token and a Client are a TypeError, and not a secret in a queue."""
    client = await scene.client()
    await scene.connect(client)
    for holder in ((await scene.record()).token, client):
        with pytest.raises(TypeError, match="secrets"):
            pickle.dumps(holder)


async def test_what_is_stored(scene, whoami, tmp_path):
    """Neither token of a pair, old or new, is in the store's files."""
    scene.store = SqliteStore(tmp_path / "tokens.db")
    acme = await scene.acme(expired=True)
    before = (await scene.record()).token
    assert await whoami(acme) == "acme"
    after = (await scene.record()).token
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("tokens.db*"))
    assert b"acme" in stored
    for token in (before, after):
        assert token.access_token.encode() not in stored
        assert token.refresh_token.encode() not in stored
