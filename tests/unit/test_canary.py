"""The canary sings: a test that lets a secret be seen fails, and says where."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

PIECE = 8
PLUGIN = Path(__file__).parents[1] / "_canary.py"

# Each function is one test of the inner run, named after the place of its leak.
LEAKING = """
import logging
import secrets
import subprocess
import sys
import warnings

import pytest

from everbearer import ConfigurationError, Registration, Token
from everbearer.events import Hooks, StandingChanged
from everbearer.providers import BILLIT
from everbearer.stores import Keyring
from everbearer.token_endpoint import RefreshGrant
from everbearer.tokens import PendingAuthorization

log = logging.getLogger("everbearer.inner")


@pytest.fixture
def secret():
    return Token(access_token=f"chosen by a test {id(log)}").access_token


def test_log_message(secret):
    log.debug("got %s", secret)

def test_log_that_is_not_configured(secret):
    logging.getLogger("everbearer").setLevel(logging.ERROR)
    log.debug("got %s", secret)

def test_log_field(secret):
    log.debug("got it", extra={"token": secret})

def test_log_argument(secret):
    class Quiet(str):
        def __str__(self):
            return "hidden"
    log.debug("got %s", Quiet(secret))

def test_log_traceback(secret):
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("failed")

def test_stdout(secret):
    print(secret)

def test_stderr(secret):
    print(secret, file=sys.stderr)

def test_stdout_of_a_child(secret):
    subprocess.run([sys.executable, "-c", f"print({secret!r})"], check=True)

def test_stdout_that_is_read(secret, capsys):
    print(secret)
    capsys.readouterr()

def test_warning(secret):
    with pytest.warns(UserWarning):
        warnings.warn(secret)

@pytest.mark.filterwarnings("error")
def test_warning_that_nobody_expects(secret):
    warnings.warn(secret)

def test_exception(secret):
    with pytest.raises(KeyError):
        raise KeyError(secret)

def test_exception_attribute(secret):
    error = ValueError("it was that")
    error.value = secret
    with pytest.raises(ValueError):
        raise error

def test_exception_cause(secret):
    with pytest.raises(ConfigurationError):
        raise ConfigurationError("wrong") from ValueError(secret)

def test_exception_context(secret):
    with pytest.raises(ConfigurationError):
        try:
            raise ValueError(secret)
        except ValueError:
            raise ConfigurationError("wrong") from None

def test_exception_in_a_group(secret):
    with pytest.raises(ExceptionGroup):
        raise ExceptionGroup("two", [OSError(), ValueError(secret)])

def test_exception_that_nobody_sees(secret):
    ConfigurationError(secret)

def test_event(secret):
    Hooks()(StandingChanged("billit", "acme", "connected", secret))

def test_state_or_verifier():
    print(secrets.token_urlsafe(32))

def test_end_of_a_random_secret():
    print("..." + secrets.token_urlsafe(32)[-8:])

def test_beginning_of_a_random_secret():
    print(secrets.token_urlsafe(32)[:8] + "...")

def test_middle_of_a_random_secret():
    print(secrets.token_urlsafe(32)[11:26])

def test_sealing_key():
    print(Keyring.generate_key())

def test_sealing_key_in_use():
    key = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG="
    Keyring(key)
    print(key)

def test_client_secret():
    print(Registration(BILLIT, "me", "the secret of this client").client_secret)

def test_client_secret_of_a_callable():
    print(Registration(BILLIT, "me", lambda: "the secret of this client").secret())

def test_refresh_token():
    print(RefreshGrant("the refresh token of acme").refresh_token)

def test_verifier():
    verifier = "the verifier of this authorization"
    PendingAuthorization("", ("billit", "acme"), None, verifier, (), 0.0)
    print(verifier)

def test_id_token():
    print(Token("a", extra={"id_token": "header.payload.signature"}).extra["id_token"])

def test_fixture(noisy):
    pass

@pytest.fixture
def noisy(secret):
    yield
    log.debug("got %s", secret)
"""

INNOCENT = """
import logging
import secrets

import pytest

from everbearer import Token
from everbearer._redact import fingerprint

log = logging.getLogger("everbearer.inner")

def test_nothing(capsys, caplog):
    token = Token(secrets.token_urlsafe(32), "the refresh token of acme")
    log.debug("got %r %s", token, fingerprint(token.refresh_token))
    print(token, secrets.token_hex(16))
    with pytest.raises(ValueError, match="hidden"):
        raise ValueError(repr(token))
    assert caplog.records == []

def test_an_earlier_test_s_words():
    print("the refresh token of acme")

def test_words(capsys):
    print(Token("access-1").access_token, "x" * len(Token("x" * 50).access_token))
"""

FAILING = """
from everbearer import Token

def test_both():
    token = Token("the access token of acme")
    print("token=" + token.access_token)
    assert 1 == 2
"""


@pytest.fixture
def run(pytester):
    """Run tests under the canary in a process of their own."""
    (pytester.path / "canary.py").write_text(PLUGIN.read_text("utf-8"), "utf-8")
    pytester.makeconftest('pytest_plugins = ["canary"]')

    def runs(tests: str) -> pytest.RunResult:
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess(
            "-rA", "-pno:cacheprovider", "-pno:asyncio"
        )

    return runs


def test_every_leak_is_red(run):
    """Whatever the place and whatever the secret, the test that leaks it fails."""
    result = run(LEAKING)
    outcomes = result.parseoutcomes()
    # The fixture leaks after its test, which has passed by then.
    assert outcomes == {
        "failed": LEAKING.count("def test_") - 1,
        "passed": 1,
        "errors": 1,
    }
    result.stdout.fnmatch_lines(
        ["A secret was seen in", "  log everbearer.inner at *.py:*: access_token *"]
    )


def test_the_innocent_pass(run):
    """Fingerprints, hidden tokens, names and words are no leaks."""
    assert run(INNOCENT).parseoutcomes() == {"passed": 3}


def test_a_failing_test_tells_both(run):
    """A test that fails for another reason says so, and its output is masked."""
    result = run(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*", "*A secret was seen in*"])
    result.stdout.fnmatch_lines(["<access_token *>"])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("{}", True, id="whole"),
        pytest.param("Bearer {}, and more", True, id="inside"),
        pytest.param("{:.8}", True, id="beginning"),
        pytest.param("{:.7}", False, id="too-little"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_random_secrets_are_recognised_by_a_part(canary, text, seen):
    """Even a prefix is a leak: somebody can search for it."""
    mine = type(canary)()
    secret = secrets.token_urlsafe(32)
    mine.watch_random(secret)
    mine.note("here", text.format(secret))
    assert bool(mine.leaks()) is seen
    assert secret[:PIECE] not in mine.masked(text.format(secret)) or not seen
