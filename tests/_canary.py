"""The canary: no secret in a log, an output, an exception or an event of any test.

A pytest plugin for the whole suite.  It learns every secret that comes into being
while a test runs, notes everything that the test makes visible, and fails the test in
which a secret was seen.  It names the place and a fingerprint, never the secret.

How secrets are learnt:

* *random* ones where they are made, with `secrets.token_urlsafe` or
  `Keyring.generate_key`: states, verifiers, sealing keys, the sandbox's codes and
  tokens.  Any eight characters at a secret's ends or in its grid are recognised, so
  that a prefix or a cut-off secret is a leak too.  `secrets.token_hex` makes names
  (flights, incarnations), which are no secrets;
* *any* where they are kept: `Token` and its extra members, grants, registrations,
  pending authorizations, keys.  These are recognised whole, because a test may have
  chosen them: "refresh-of-acme" has an innocent beginning.

What is not looked for, and why: values below 16 characters or with fewer than six
different ones.  They are words that tests use as tokens ("access-1") and public
constants such as the sandbox's client secret, which its documentation prints.  Tests
about such a secret use a random one (``test_secrets.py``).

What is looked at: records of every ``everbearer`` logger at DEBUG, whatever level is
configured, with message, arguments, extra fields and traceback; captured stdout and
stderr; warnings that a test expects (all others are errors); exceptions that a test
expects or dies of, with arguments, attributes, causes and contexts; every
EverbearerError that is made, also those that nobody sees; every event.  Not the
frames' local variables: those are in no text unless somebody asks for them.  What a
child process wrote to a pipe is looked at if its test passes it to `Canary.note`.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import secrets
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

from everbearer import Registration, Token
from everbearer.authorization import AuthorizationRequest
from everbearer.errors import EverbearerError
from everbearer.events import Hooks
from everbearer.stores import Keyring, keyring
from everbearer.token_endpoint import CodeGrant, RefreshGrant, Revocation
from everbearer.tokens import PendingAuthorization

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from everbearer.events import Event

PIECE: Final = 8
_SHORTEST: Final = 16
_FEWEST: Final = 6

# Where a secret is kept, and under which names.
_KEPT: Final = (
    (AuthorizationRequest, ("state",)),
    (CodeGrant, ("code", "code_verifier")),
    (PendingAuthorization, ("code_verifier",)),
    (RefreshGrant, ("refresh_token",)),
    (Registration, ("client_secret",)),
    (Revocation, ("token",)),
    (Token, ("access_token", "refresh_token", "extra")),
)

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "message",
    "taskName",
}
_WORD: Final = re.compile(r"[\w+/=.~-]+")


class Canary:
    """The secrets known, and the texts seen, of the test that runs."""

    def __init__(self) -> None:
        # By their first eight characters.
        self._chosen: dict[str, dict[str, str]] = {}
        # Of random secrets: any of their pieces.  Kept for the whole run: a fixture
        # may outlive the test that made its secrets.
        self._pieces: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    # ---- what is secret

    def watch(self, secret: object, kind: str = "secret") -> None:
        """Recognise *secret* if it appears whole; of a mapping or list, all texts."""
        if isinstance(secret, Mapping):
            for name, value in secret.items():
                self.watch(value, f"{kind}.{name}")
        elif isinstance(secret, list | tuple):
            for value in secret:
                self.watch(value, kind)
        elif isinstance(secret, str) and _telling(secret):
            label = _label(kind, secret)
            self._chosen.setdefault(secret[:PIECE], {})[secret] = label

    def watch_random(self, secret: str, kind: str = "random secret") -> None:
        """Recognise *secret* by any of its pieces."""
        if not _telling(secret):
            return
        label, last = _label(kind, secret), len(secret) - PIECE
        for start in (*range(0, last, PIECE), last):
            self._pieces[secret[start : start + PIECE]] = label

    # ---- what is seen

    def note(self, where: str, *shown: object) -> None:
        """Look at texts that somebody could read, when the test ends."""
        for text in shown:
            self._seen.setdefault(str(text), where)

    def note_error(self, error: BaseException) -> None:
        """Look at *error* and whatever it drags along."""
        for each in _family(error):
            where = f"exception {type(each).__name__}"
            self.note(where, str(each), repr(each), repr(each.args))
            for name, value in vars(each).items():
                self.note(f"{where}.{name}", repr(value))

    def note_record(self, record: logging.LogRecord) -> None:
        """Look at a log record as any formatter could show it."""
        where = f"log {record.name} at {record.filename}:{record.lineno}"
        self.note(where, record.getMessage(), repr(record.args))
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS:
                self.note(f"{where}, field {name}", value, repr(value))
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.note(where, "".join(traceback.format_exception(error)))
            self.note_error(error)

    # ---- what comes of it

    def leaks(self) -> list[str]:
        """One line for each secret in each place where it was seen."""
        return sorted(
            {
                f"{where}: {label}"
                for text, where in self._seen.items()
                for _, _, label in self._found(text)
            }
        )

    def masked(self, text: str) -> str:
        """*text* without the secrets in it, and without words that hold a part."""
        words = [word.span() for word in _WORD.finditer(text)]
        cuts: list[tuple[int, int, str]] = []
        for start, end, label in self._found(text):
            touched = [w for w in words if w[0] < end and start < w[1]]
            first = min([start, *(w[0] for w in touched)])
            last = max([end, *(w[1] for w in touched)])
            if cuts and first <= cuts[-1][1]:
                first, last = cuts[-1][0], max(last, cuts[-1][1])
                del cuts[-1]
            cuts.append((first, last, label))
        for first, last, label in reversed(cuts):
            text = f"{text[:first]}<{label}>{text[last:]}"
        return text

    def forget(self) -> None:
        """The next test begins."""
        self._chosen.clear()
        self._seen.clear()

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        for start in range(len(text) - PIECE + 1):
            end = start + PIECE
            piece = text[start:end]
            if piece in self._pieces:
                yield start, end, self._pieces[piece]
            for secret, label in self._chosen.get(piece, {}).items():
                if text.startswith(secret, start):
                    yield start, start + len(secret), label


def _telling(secret: str) -> bool:
    return len(secret) >= _SHORTEST and len(set(secret)) >= _FEWEST


def _label(kind: str, secret: str) -> str:
    return f"{kind} {hashlib.blake2b(secret.encode(), digest_size=4).hexdigest()}"


def _family(error: BaseException | None) -> Iterator[BaseException]:
    """*error*, its causes and contexts, also suppressed ones, and group members."""
    left, known = [error], set()
    while left:
        each = left.pop()
        if each is None or id(each) in known:
            continue
        known.add(id(each))
        yield each
        left += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


# ---- how it listens


def _after(
    patch: pytest.MonkeyPatch, owner: Any, name: str, tell: Callable[..., None]
) -> None:
    """Call ``tell(result, *args)`` whenever ``owner.name`` has returned."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def told(*args: Any, **options: Any) -> Any:
        result = original(*args, **options)
        tell(result, *args)
        return result

    kept = staticmethod(told) if owner is Keyring else told
    patch.setattr(owner, name, kept)


def _listen(canary: Canary, patch: pytest.MonkeyPatch) -> None:
    """Hear of every secret, and of every text, but the captured ones."""
    _after(patch, secrets, "token_urlsafe", lambda made, *_: canary.watch_random(made))
    _after(
        patch,
        Keyring,
        "generate_key",
        lambda made: canary.watch_random(made, "sealing key"),
    )
    _after(
        patch, keyring, "_parsed", lambda _, text, __: canary.watch(text, "sealing key")
    )
    _after(
        patch,
        Registration,
        "secret",
        lambda secret, _: canary.watch(secret, "client_secret"),
    )
    for owner, names in _KEPT:
        _after(patch, owner, "__init__", _keeper(canary, names))
    _after(patch, pytest.CaptureFixture, "readouterr", _output(canary))
    _hear_errors(canary, patch)
    _hear_events(canary, patch)
    _hear_logs(canary, patch)


def _keeper(canary: Canary, names: tuple[str, ...]) -> Callable[..., None]:
    def kept(_: None, instance: object, *__: object) -> None:
        for name in names:
            canary.watch(getattr(instance, name), name)

    return kept


def _output(canary: Canary) -> Callable[..., None]:
    def read(result: tuple[object, object], *_: object) -> None:
        canary.note("captured output", *result)

    return read


def _hear_errors(canary: Canary, patch: pytest.MonkeyPatch) -> None:
    def made(error: EverbearerError, *args: object) -> None:
        super(EverbearerError, error).__init__(*args)
        canary.note_error(error)

    patch.setattr(EverbearerError, "__init__", made)

    def before(owner: type, tell: Callable[[Any, Any], None]) -> None:
        leave = owner.__exit__

        def left(expected: Any, kind: Any, error: Any, trace: Any) -> Any:
            tell(expected, error)
            return leave(expected, kind, error, trace)

        patch.setattr(owner, "__exit__", left)

    def raised(_: object, error: BaseException | None) -> None:
        if error is not None:
            canary.note_error(error)

    def warned(recorder: pytest.WarningsRecorder, _: object) -> None:
        for warning in recorder.list:
            canary.note("warning", warning.message, repr(warning.message))

    before(pytest.RaisesExc, raised)
    before(pytest.RaisesGroup, raised)
    before(pytest.WarningsRecorder, warned)


def _hear_events(canary: Canary, patch: pytest.MonkeyPatch) -> None:
    call = Hooks.__call__

    def heard(hooks: Hooks, event: Event) -> None:
        canary.note(f"event {type(event).__name__}", event, repr(event))
        call(hooks, event)

    patch.setattr(Hooks, "__call__", heard)


def _hear_logs(canary: Canary, patch: pytest.MonkeyPatch) -> None:
    """Without a level or a handler of ours, which tests about logging would see."""
    enabled, handle = logging.Logger.isEnabledFor, logging.Logger.handle

    def ours(logger: logging.Logger) -> bool:
        return logger.name.partition(".")[0] == "everbearer"

    def always(logger: logging.Logger, level: int) -> bool:
        return ours(logger) or enabled(logger, level)

    def heard(logger: logging.Logger, record: logging.LogRecord) -> None:
        if ours(logger):
            canary.note_record(record)
        if enabled(logger, record.levelno):
            handle(logger, record)

    patch.setattr(logging.Logger, "isEnabledFor", always)
    patch.setattr(logging.Logger, "handle", heard)


# ---- pytest's side

_KEY: Final = pytest.StashKey[Canary]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    canary, patch = Canary(), pytest.MonkeyPatch()
    config.stash[_KEY] = canary
    config.add_cleanup(patch.undo)
    config.pluginmanager.register(_Watch(canary))
    _listen(canary, patch)


@pytest.fixture(name="canary")
def _canary(pytestconfig: pytest.Config) -> Canary:
    """For tests that know of a secret or of an output that nobody else sees."""
    return pytestconfig.stash[_KEY]


class _Watch:
    """Fails a test that let a secret be seen."""

    def __init__(self, canary: Canary) -> None:
        self._canary = canary
        self._told: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Look at what is known only now, and judge."""
        report = yield
        error = call.excinfo and call.excinfo.value
        # What a failed assertion compares are the test's own words.
        if error is not None and not isinstance(error, AssertionError):
            self._canary.note_error(error)
        for name, text in report.sections:
            if not name.startswith("Captured log"):  # Every record was looked at.
                self._canary.note(name, text)
        if call.when != "setup" and (leaks := self._canary.leaks()):
            self._fail(report, leaks)
        if call.when == "teardown":
            self._canary.forget()
            self._told.clear()
        return report

    def _fail(self, report: pytest.TestReport, leaks: list[str]) -> None:
        masked = self._canary.masked
        report.sections = [(name, masked(text)) for name, text in report.sections]
        news = [f"  {leak}" for leak in leaks if leak not in self._told]
        self._told.update(leaks)
        if not news:
            return
        told = "\n".join(["A secret was seen in", *news])
        if report.failed:
            report.sections.append(("canary", told))
        else:
            report.outcome, report.longrepr = "failed", told
