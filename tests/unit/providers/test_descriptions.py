"""What must hold of every description that is offered."""

from __future__ import annotations

from inspect import signature

import pytest
from attrs import evolve
from yarl import URL

from everbearer import ConfigurationError, Registration, providers
from everbearer.providers import CAMINVOICE, Provider, Verdict, standard_provider

OFFERED = [
    each
    for name in providers.__all__
    if isinstance(each := getattr(providers, name), Provider)
]
CALLS = ("exchange", "refresh", "revoke", "redirects")


@pytest.fixture(name="provider", params=OFFERED, ids=lambda each: each.name)
def _provider(request):
    return request.param


def test_the_name_is_the_one_it_is_imported_by(provider):
    """So that `from everbearer.providers import X` and ``session("x")`` agree."""
    assert getattr(providers, provider.name.upper()) is provider


def test_hosts_are_https_without_a_slash_at_the_end(provider):
    """Secrets go there; paths are put behind them."""
    for hosts in provider.hosts.values():
        for base in (hosts.login, hosts.token, hosts.api):
            assert URL(base).scheme == "https"
            assert not base.endswith("/")


def test_paths_are_below_the_hosts(provider):
    """A description can be moved with `with_hosts`, all of it."""
    moved = provider.with_hosts(*["https://moved.example/prefix"] * 3)
    assert moved.base.api == "https://moved.example/prefix"
    calls = [call for name in CALLS if (call := getattr(moved, name))]
    paths = [path for each in calls for path in (each.path, *each.other_paths)]
    assert all(path.startswith("/") for path in (moved.authorize.path, *paths))


def test_every_environment_works(provider):
    """A registration can be made in each environment that is named."""
    for name in provider.hosts:
        there = provider.in_environment(name)
        registration = Registration(there, "id", "secret", "https://app.example/cb")
        assert registration.token_origin == str(URL(there.base.token).origin())


def test_a_401_that_is_resent_proves_that_nothing_was_done(provider):
    """RFC 9110 section 15.5.2: lacks valid credentials, so it was not carried out."""
    for signal in provider.expiry_signals:
        if signal.statuses == {401}:
            assert signal.proves_unprocessed
        assert signal.verdict in Verdict


def test_what_is_not_known_is_not_made_up():
    """No production host of CamInvoice is published: there is none, nor a default."""
    assert "production" not in CAMINVOICE.hosts
    with pytest.raises(ConfigurationError, match="with_hosts"):
        assert CAMINVOICE.base
    given = CAMINVOICE.with_hosts(*["https://given.example"] * 3)
    assert given.base.login == "https://given.example"


def test_one_base_url_is_not_enough():
    """Where nothing is known, all three have to be given."""
    with pytest.raises(ConfigurationError, match="token"):
        CAMINVOICE.with_hosts(login="https://given.example")


@pytest.mark.parametrize("lifetime", [0, -1.0, float("inf"), float("nan"), "1d"])
def test_an_idle_lifetime_is_seconds(lifetime):
    """Who writes it in another way is told at once."""
    with pytest.raises(ConfigurationError, match="refresh_idle_lifetime"):
        evolve(CAMINVOICE, refresh_idle_lifetime=lifetime)


def test_pkce_is_on_where_nothing_is_known_against_it():
    """RFC 9700 section 2.1.1; the others' documents do not know it, and say what do."""
    without = {each.name for each in OFFERED if each.pkce is None}
    assert without == {"billit", "caminvoice", "flowaccount", "invoiced", "moneybird"}
    assert {each.pkce for each in OFFERED if each.pkce} == {"S256"}
    assert signature(standard_provider).parameters["pkce"].default == "S256"
