"""Secrets that never print: fingerprints, excerpts, and what their holders show."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import reprlib
import secrets
import traceback
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from everbearer import Client, ConfigurationError, EverbearerError, Registration, Token
from everbearer._redact import HIDDEN, excerpt, fingerprint
from everbearer.authorization import AuthorizationRequest
from everbearer.authorization._callback import read_callback
from everbearer.providers import BILLIT, standard_provider
from everbearer.refresh._attempt import Landing
from everbearer.refresh._decision import Situation
from everbearer.sandbox import Sandbox, Settings
from everbearer.stores import Keyring, MemoryStore, NewGrant, Rotation, open_store
from everbearer.stores._serialize import dump_secret, parse_pending, parse_record
from everbearer.token_endpoint import (
    CodeGrant,
    Granted,
    RefreshGrant,
    Revocation,
    token_request,
)
from everbearer.tokens import (
    AccountKey,
    PendingAuthorization,
    TokenRecord,
    status_of,
)
from everbearer.transport._bearer import BearerValue

KEY = AccountKey("billit", "acme")


def record_of(token):
    return TokenRecord(KEY, "i0", 1, token, 0.0)


# ---- fingerprints


def test_a_fingerprint_is_the_same_in_every_process():
    """Intents and refusals in a store are compared by it, across releases too."""
    assert fingerprint("refresh-1") == "83d970a49a214130fe6cebfac5c4e9fe"


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_has_no_fingerprint(nothing):
    """A missing refresh token matches no intent."""
    assert fingerprint(nothing) == ""


def test_fingerprints_differ():
    """Two secrets that differ in one character have nothing else in common."""
    assert fingerprint("refresh-1") != fingerprint("refresh-2")


# ---- excerpts


@pytest.mark.parametrize(
    ("text", "hidden", "expected"),
    [
        pytest.param("plain words", (), "plain words", id="nothing-to-hide"),
        pytest.param("", ("secret",), "", id="empty"),
        pytest.param("a secret b", ("secret",), f"a {HIDDEN} b", id="inside"),
        pytest.param("secretsecret", ("secret",), HIDDEN * 2, id="twice"),
        pytest.param(
            "abcdefgh abcd", ("abcd", "abcdefgh"), f"{HIDDEN} {HIDDEN}", id="prefix"
        ),
        pytest.param("a b", ("", None, "b"), "a b", id="too-short-to-hide"),
        pytest.param(" a\r\n\tb\x1b[31m\x00c ", (), "a b [31m c", id="one-line"),
        pytest.param("x" * 200, (), "x" * 200, id="just-fits"),
        pytest.param("x" * 201, (), "x" * 200 + "...", id="cut"),
        pytest.param(
            "x" * 190 + "secret" * 3,
            ("secret" * 3,),
            "x" * 190 + HIDDEN,
            id="at-the-cut",
        ),
    ],
)
def test_excerpt(text, hidden, expected):
    """One printable line of at most 200 characters, without the secrets."""
    assert excerpt(text, hidden) == expected


# ---- reprs


def record(secret: str) -> TokenRecord:
    """An account whose every secret is *secret*."""
    return TokenRecord(KEY, "i", 1, Token(secret, secret, extra={"x": secret}), 0.0)


# Each makes something that holds the secret.
HOLDERS = {
    "Token": lambda s: Token(s, s, extra={"id_token": s}),
    "Token-expiring": lambda s: Token(s, s, datetime.now(UTC), datetime.now(UTC)),
    "Registration": lambda s: Registration(BILLIT, "me", s),
    "Client": lambda s: Client(Registration(BILLIT, "me", s), store=MemoryStore()),
    "AuthorizationRequest": lambda s: AuthorizationRequest(
        f"https://x/?state={s}", s, datetime.now(UTC)
    ),
    "AccountStatus": lambda s: status_of(KEY, record(s)),
    "TokenRecord": record,
    "PendingAuthorization": lambda s: PendingAuthorization("", KEY, None, s, (), 0.0),
    "NewGrant": lambda s: NewGrant("i", Token(s, s), "me", "https://x"),
    "Rotation": lambda s: Rotation("i", 1, Token(s, s), "flight"),
    "CodeGrant": lambda s: CodeGrant(s, None, s),
    "RefreshGrant": RefreshGrant,
    "Revocation": Revocation,
    "Granted": lambda s: Granted(Token(s, s)),
    "TokenRequest": lambda s: token_request(
        Registration(BILLIT, "me", s), RefreshGrant(s), s
    ),
    "CallbackValues": lambda s: read_callback({"code": s, "state": s}, ("code",)),
    "BearerValue": BearerValue,
    "Landing": Landing,
    "Situation": lambda s: Situation(
        0.0, 0.0, "me", "https://x", "", rejected=frozenset({s}), unwanted=s
    ),
    "Keyring": lambda _: Keyring(Keyring.generate_key()),
    "SealingKey": lambda _: Keyring(Keyring.generate_key()).active,
    "Settings": lambda s: Settings(client_secret=s, other_clients={"other": s}),
    "Sandbox": lambda s: Sandbox(client_secret=s),
    "IssuedPair": lambda _: Sandbox().issue("acme"),
    "Grant": lambda _: Sandbox().grants.grant("acme", "me"),
}

SHOWN = {
    "repr": repr,
    "ascii": ascii,
    "str": str,
    "format": lambda held: f"{held} {held!r:>20}",
    "percent": lambda held: "%s %r" % (held, [held]),  # noqa: UP031 - as logging does
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "nested": lambda held: str({"held": (held,)}),
    "exception": lambda held: str(ValueError(held, "and more")),
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_what_holds_a_secret_does_not_show_it(canary, make):
    """However it is turned into text, and however it is logged."""
    held = make(secrets.token_urlsafe(32))
    for how, show in SHOWN.items():
        # A header has to read true as text; its repr does not.
        if isinstance(held, BearerValue) and how in {"str", "format", "percent"}:
            continue
        canary.note(how, show(held))
    logging.getLogger("everbearer.test").debug("%r", held)
    assert canary.leaks() == []


@pytest.mark.parametrize("name", ["Token", "Registration", "Client", "Keyring"])
def test_what_holds_a_secret_is_not_pickled(name):
    """Who tries is told so, and why (the canary reads it too)."""
    with pytest.raises(TypeError, match=r"not pickled, it holds.* secrets?"):
        pickle.dumps(HOLDERS[name](secrets.token_urlsafe(32)))


def test_a_copy_hides_as_well(canary):
    """A copy of a Token is that Token, which hides its secrets."""
    token = Token(secrets.token_urlsafe(32))
    assert copy.copy(token) is copy.deepcopy(token) is token
    canary.note("repr", repr(copy.copy(token)))
    assert canary.leaks() == []


# ---- passwords in URLs, and other things that are wrong

WRONG_URLS = {
    "postgres": lambda url: open_store(f"postgresql://{url}"),
    "redis": lambda url: open_store(f"redis://{url}"),
    "unknown": lambda url: open_store(f"mysql+driver://{url}"),
    "sqlite": lambda url: open_store(f"sqlite://{url}"),
    "no-scheme": open_store,
    "login": lambda url: BILLIT.with_hosts(login=f"https://{url}"),
    "token": lambda url: BILLIT.with_hosts(token=f"https://{url}"),
    "api": lambda url: BILLIT.with_hosts(api=f"ftp://{url}"),
    "plain-http": lambda url: BILLIT.with_hosts(api=f"http://{url}"),
    "no-port": lambda url: BILLIT.with_hosts(api=f"https://{url}:port"),
    "standard": lambda url: standard_provider(
        "s",
        authorize_url=f"https://{url}/login",
        token_url="https://x/token",
        api_base="https://x",
    ),
    "redirect": lambda url: Registration(BILLIT, "me", "s", f"https://{url}/callback"),
    "redirect-ftp": lambda url: Registration(BILLIT, "me", "s", f"ftp://{url}/"),
    "redirect-port": lambda url: Registration(BILLIT, "me", "s", f"https://{url}:x/"),
}


@pytest.mark.parametrize("use", WRONG_URLS.values(), ids=WRONG_URLS)
@pytest.mark.parametrize("form", ["{}", "{}/", "a/{}", "{}%zz"], ids=repr)
def test_a_password_in_a_url_is_refused_unseen(canary, use, form):
    """There is no place for one, and the error does not repeat it."""
    password = secrets.token_urlsafe(16)
    with pytest.raises(ConfigurationError) as caught:
        use(f"user:{form.format(password)}@host.example")
    canary.note("traceback", *traceback.format_exception(caught.value))
    canary.note("percent-encoded", quote(str(caught.value)))
    assert canary.leaks() == []


# ---- what is stored makes no sense, or cannot be stored


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda plain: plain[:-3], id="cut"),
        pytest.param(lambda plain: plain + b"\xff", id="not-utf-8"),
        pytest.param(lambda plain: b"[" + plain + b"]", id="another-shape"),
        pytest.param(lambda plain: b'{"scopes":7,' + plain[1:], id="another-type"),
    ],
)
def test_a_record_that_makes_no_sense(canary, spoil):
    """Its error, and what led to it, hold no part of what was sealed."""
    secret = secrets.token_urlsafe(32)
    plain = spoil(dump_secret(record_of(Token(secret, secret)), {}))
    row = {"provider": "billit", "account": "acme"}
    for parse in (parse_record, parse_pending):
        with pytest.raises(EverbearerError, match="makes no sense"):
            parse(row, plain)
    assert canary.leaks() == []


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"x": object()}, id="no-json"),
        pytest.param({"x": b"bytes"}, id="bytes"),
        pytest.param({("x",): 1}, id="key"),
    ],
)
def test_a_token_that_cannot_be_stored(canary, extra):
    """The error says what extra may hold, and shows nothing of it."""
    secret = secrets.token_urlsafe(32)
    with pytest.raises(ConfigurationError):
        dump_secret(record_of(Token(secret, extra={"mine": secret, **extra})), {})
    assert canary.leaks() == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda key: key[:-4], id="short"),
        pytest.param(lambda key: f"{key[:20]} {key[20:]}", id="broken"),
        pytest.param(json.dumps, id="quoted"),
        pytest.param(lambda key: f"{Keyring.generate_key()},{key}x", id="second"),
        pytest.param(lambda key: f"{key}é", id="not-ascii"),
    ],
)
def test_a_sealing_key_that_is_wrong(canary, tmp_path, spoil):
    """A key is named by its position, wherever it comes from."""
    text = spoil(Keyring.generate_key())
    path = tmp_path / "keys"
    path.write_text(text, "latin-1")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"key \d"):
        Keyring(text)
    with pytest.raises(ConfigurationError, match=r"key \d"):
        Keyring.from_environment({"EVERBEARER_KEYS": text})
    with pytest.raises(ConfigurationError, match=r"key \d"):
        Keyring.from_file(path)
    assert canary.leaks() == []
