"""How a record is written: plain columns to look things up by, and a sealed rest.

This is the edge: the models in `everbearer.tokens` do not know how they are written.
The schema only ever grows.  A newer release may add columns, which are left alone
here, and members of the sealed JSON, which `unknown` carries along.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import cattrs
from attrs import asdict, field, frozen

from everbearer._clock import instant, seconds
from everbearer.errors import ConfigurationError, Reason, StoreError
from everbearer.stores._writes import Rotation
from everbearer.tokens import (
    AccountKey,
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    PendingAuthorization,
    Standing,
    Token,
    TokenRecord,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Stored",
    "dump_pending",
    "dump_record",
    "dump_rotation",
    "dump_secret",
    "parse_pending",
    "parse_record",
    "parse_rotation",
    "sealed_alike",
]

_T = TypeVar("_T")

# What comes of structuring something else than what was written: a list where members
# were, a number where text was, an instant beyond the calendar, a nest too deep.
_NONSENSE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)

# Member of the record, and the type of what its columns say when they say anything.
_GROUPS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("lease", Lease),
    ("intent", Intent),
    ("back_off", BackOff),
    ("throttle", BackOff),
)
_PLAIN: Final = (
    "incarnation",
    "version",
    "minted_at",
    "standing",
    "reason",
    "since",
    "detail",
    "client_id",
    "token_origin",
    "rejections",
)


@frozen(repr=False)
class _Secret:
    """The sealed part of a record."""

    access_token: str | None = None
    refresh_token: str | None = None
    scope: str | None = None
    extra: dict[str, Any] = field(factory=dict)


@frozen(repr=False)
class _WholeToken(_Secret):
    """A token of which nothing is in a column."""

    expires_at: float | None = None
    refresh_expires_at: float | None = None


@frozen(repr=False)
class _Descent:
    """Where a token comes from, and its alternate.

    An older release carries it along unread when it stores a successor, so it says
    which version it is about.
    """

    version: int
    parent: str
    alternate: _WholeToken | None = None


@frozen(repr=False)
class _SpilledRotation:
    """The sealed part of a spill."""

    incarnation: str
    version: int
    spent: str
    token: _WholeToken
    rejections: int
    when: float


@frozen(repr=False)
class _PendingSecret:
    """The sealed part of a pending authorization."""

    redirect_uri: str | None = None
    code_verifier: str | None = None
    scopes: tuple[str, ...] = ()


@frozen(repr=False)
class Stored:
    """A record as read.

    Attributes:
        record: The model.

        unknown: Members of the sealed JSON that this release does not know.
    """

    record: TokenRecord
    unknown: Mapping[str, Any]


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    # A kind that a newer release remembers a failure by still means: not now.
    converter.register_structure_hook(
        BackOffKind,
        lambda value, _: (
            BackOffKind(value) if value in set(BackOffKind) else BackOffKind.UNAVAILABLE
        ),
    )
    return converter


_edge: Final = _converter()


def dump_record(record: TokenRecord) -> dict[str, Any]:
    """The plain columns of *record*: all but the secrets."""
    columns: dict[str, Any] = {
        "provider": record.key.provider,
        "account": record.key.account,
        "expires_at": seconds(record.token.expires_at),
        "refresh_expires_at": seconds(record.token.refresh_expires_at),
        "known": json.dumps(record.known),
    }
    columns |= {name: getattr(record, name) for name in _PLAIN}
    for group, model in _GROUPS:
        value = getattr(record, group)
        members = asdict(value) if value else dict.fromkeys(_members(model))
        for name, member in members.items():
            columns[f"{group}_{name}"] = (
                json.dumps(member) if isinstance(member, tuple) else member
            )
    return columns


def dump_secret(record: TokenRecord, unknown: Mapping[str, Any]) -> bytes:
    """What is sealed of *record*, with the *unknown* members it was read with.

    Raises:
        ConfigurationError: ``extra`` holds what JSON cannot say.
    """
    token, alternate = record.token, record.alternate
    return _dumped(
        {
            **unknown,
            "descent": {
                "version": record.version,
                "parent": record.parent,
                "alternate": None if alternate is None else _whole(alternate),
            },
            "access_token": token.access_token,
            "refresh_token": token.refresh_token,
            "scope": token.scope,
            "extra": dict(token.extra),
        }
    )


def sealed_alike(before: TokenRecord, after: TokenRecord) -> bool:
    """Whether what is sealed of *before* will do for *after*."""
    return (
        before.token is after.token
        and before.alternate is after.alternate
        and (before.version, before.parent) == (after.version, after.parent)
    )


def parse_record(row: Mapping[str, Any], plain: bytes) -> Stored:
    """Put a record together from its columns and what was sealed.

    Raises:
        StoreError: They make no sense.
    """
    key = AccountKey(row["provider"], row["account"])
    try:
        members = json.loads(plain)
        secret = _edge.structure(members, _Secret)
        columns: dict[str, Any] = {name: row[name] for name in _PLAIN}
        columns |= {name: parse(row[name]) for name, parse in _ENUMS.items()}
        columns |= {group: _group(row, group, model) for group, model in _GROUPS}
        columns["known"] = tuple(json.loads(row["known"]))
        columns["token"] = Token(
            **_shallow(secret),
            expires_at=instant(row["expires_at"]),
            refresh_expires_at=instant(row["refresh_expires_at"]),
        )
        columns |= _descent(members.get("descent"), row["version"])
        record = TokenRecord(key=key, **columns)
        known = {*_members(_Secret), "descent"}
        unknown = {k: v for k, v in members.items() if k not in known}
    except _NONSENSE as error:
        trouble = error
    else:
        return Stored(record, unknown)
    raise _nonsense(key, trouble)


def dump_pending(pending: PendingAuthorization) -> bytes:
    """The part of *pending* that is sealed; the rest are columns."""
    return _dumped(
        {
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.code_verifier,
            "scopes": pending.scopes,
        }
    )


def parse_pending(row: Mapping[str, Any], plain: bytes) -> PendingAuthorization:
    """Put a pending authorization together again.

    Raises:
        StoreError: It makes no sense.
    """
    key = AccountKey(row["provider"], row["account"])
    try:
        secret = _edge.structure(json.loads(plain), _PendingSecret)
        return PendingAuthorization(
            state_fingerprint=row["state_fingerprint"],
            key=key,
            expires_at=row["expires_at"],
            **_shallow(secret),
        )
    except _NONSENSE as error:
        trouble = error
    raise _nonsense(key, trouble)


def dump_rotation(rotation: Rotation, when: float) -> bytes:
    """*rotation* as it is sealed into a spill, *when* in seconds since the epoch.

    Raises:
        ConfigurationError: ``extra`` holds what JSON cannot say.
    """
    return _dumped(
        {
            "incarnation": rotation.incarnation,
            "version": rotation.version,
            "spent": rotation.spent,
            "token": _whole(rotation.token),
            "rejections": rotation.rejections,
            "when": when,
        }
    )


def parse_rotation(key: AccountKey, plain: bytes) -> tuple[Rotation, float]:
    """A spilled rotation, of no flight any more, and when it was spilled.

    Raises:
        StoreError: It makes no sense.
    """
    try:
        spilled = _edge.structure(json.loads(plain), _SpilledRotation)
        return Rotation(
            spilled.incarnation,
            spilled.version,
            _token(spilled.token),
            flight="",
            rejections=spilled.rejections,
            spent=spilled.spent,
        ), spilled.when
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        trouble = error
    raise _nonsense(key, trouble)


def _descent(said: object, version: int) -> dict[str, Any]:
    """The members of the record that *said* tells, if it is about this version."""
    if said is None:
        return {}
    descent = _edge.structure(said, _Descent)
    if descent.version != version:
        return {}
    alternate = descent.alternate
    return {
        "parent": descent.parent,
        "alternate": None if alternate is None else _token(alternate),
    }


def _whole(token: Token) -> dict[str, Any]:
    return {
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
        "expires_at": seconds(token.expires_at),
        "refresh_expires_at": seconds(token.refresh_expires_at),
        "scope": token.scope,
        "extra": dict(token.extra),
    }


def _token(whole: _WholeToken) -> Token:
    members = _shallow(whole)
    for name in ("expires_at", "refresh_expires_at"):
        members[name] = instant(members[name])
    return Token(**members)


def _reason(value: str | None) -> Reason | None:
    # A reason that only a newer release knows still needs the user.
    if value is None:
        return None
    return value if value in get_args(Reason) else "refused"  # type: ignore[return-value]


_ENUMS: Final[Mapping[str, Callable[[Any], object]]] = {
    "standing": Standing,
    "reason": _reason,
}


def _group(row: Mapping[str, Any], group: str, model: type[_T]) -> _T | None:
    members = {name: row[f"{group}_{name}"] for name in _members(model)}
    if all(value is None for value in members.values()):
        return None
    if "flights" in members:
        members["flights"] = json.loads(members["flights"])
    return _edge.structure(members, model)


def _members(model: type) -> tuple[str, ...]:
    return tuple(field.name for field in model.__attrs_attrs__)  # type: ignore[attr-defined]


def _shallow(secret: object) -> dict[str, Any]:
    return {name: getattr(secret, name) for name in _members(type(secret))}


def _dumped(members: dict[str, Any]) -> bytes:
    try:
        return json.dumps(members, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    # Not in the handler, not even `from None`: the error, which may hold the whole
    # text, would stay reachable as the context of this one.
    raise ConfigurationError(
        "a Token's extra may hold only what JSON can say: text, numbers, "
        "booleans, None, lists and string-keyed mappings of them"
    )


def _nonsense(key: AccountKey, error: Exception) -> StoreError:
    # The error's own text may print a secret: its type has to do.  And it is raised
    # outside the handler, because *error*, as a context, would hold the opened record.
    return StoreError(
        f"the record of account {key.account!r} at {key.provider!r} makes no sense "
        f"({type(error).__name__}): upgrade if a newer release wrote it, or restore "
        "it from a backup"
    )
