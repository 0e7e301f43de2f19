"""Two servers, one of which passes off the other's code as its own (RFC 9207)."""

from __future__ import annotations

import pytest
from attrs import evolve
from yarl import URL

from everbearer import CallbackError, Client
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="registrations")
def _registrations(brief, authlib):
    """Both servers, as their metadata describes them."""
    django = brief.describe(issuer=f"{brief.url}/o")
    flask = authlib.describe(issuer=authlib.url, returns_issuer=True)
    return evolve(django, name="django"), evolve(flask, name="flask")


async def test_each_at_its_own(registrations, brief, authlib, visit):
    """They name themselves, and are believed; Authlib does so in errors too."""
    async with Client(*registrations, store=MemoryStore()) as client:
        for name, served in (("django", brief), ("flask", authlib)):
            user = served.user()
            request = await client.authorization.start(name, user)
            callback = await visit(served, request.url, user)
            assert "iss" in URL(callback).query
            status = await client.authorization.finish(callback, state=request.state)
            assert status.standing == "connected"
        request = await client.authorization.start("flask", user)
        callback = await visit(authlib, request.url, user, allow=False)
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(callback, state=request.state)
        assert caught.value.code == "access_denied"


async def test_a_code_of_the_other(registrations, brief, authlib, visit):
    """The user is led on to the other server, under the state of the first."""
    async with Client(*registrations, store=MemoryStore()) as client:
        for name, other in (("django", "flask"), ("flask", "django")):
            served = authlib if other == "flask" else brief
            asked_at = brief if other == "flask" else authlib
            user = served.user()
            begun = await client.authorization.start(name, user)
            led_on = await client.authorization.start(other, user)
            url = URL(led_on.url).update_query(state=begun.state)
            callback = await visit(served, str(url), user)
            mark = asked_at.mark()
            with pytest.raises(CallbackError) as caught:
                await client.authorization.finish(callback, state=begun.state)
            assert caught.value.code == "issuer"
            assert asked_at.since(mark, asked_at.paths[1]) == []
