"""How the emulated provider behaves; every field may be changed while it runs."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from attrs import Attribute, asdict, define, field, fields, setters
from attrs.validators import (
    and_,
    deep_iterable,
    deep_mapping,
    ge,
    in_,
    instance_of,
    optional,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReplayAnswer", "Rotation", "Settings", "TokenShape"]

Rotation = Literal["every_use", "sometimes", "never"]
"""Whether a refresh replaces the refresh token too; ``sometimes`` is every second."""

ReplayAnswer = Literal["same", "new"]
"""What a spent refresh token gets inside the replay window."""

TokenShape = Literal["documented", "sample", "durations", "bare"]
"""Which of the answers that were seen at one provider the token endpoint gives."""


def _finite(_: object, attribute: Attribute[float], value: float) -> None:
    if not isfinite(value):
        message = f"{attribute.name} is not finite"
        raise ValueError(message)


# Any: the stubs of attrs cannot say "a number, and at least 0".
_NUMBER: Any = and_(instance_of((int, float)), _finite)
_SECONDS: Any = and_(_NUMBER, ge(0))
_MAYBE_SECONDS: Any = optional(_SECONDS)
_COUNT: Any = and_(instance_of(int), ge(0))
_TEXT: Any = instance_of(str)
_FLAG: Any = instance_of(bool)
_TEXTS: Any = deep_iterable(_TEXT, instance_of((tuple, list)))
_TEXTS_BY_NAME: Any = deep_mapping(_TEXT, _TEXT)


@define(kw_only=True, on_setattr=setters.validate)
class Settings:
    """What the sandbox does when no fault is scripted.

    Attributes:
        client_id: Of the client that the integrator asked the provider for.

        client_secret: Its secret.

        other_clients: Secrets of further clients, by id.  A token belongs to the
            client that it was issued to.

        redirect_uris: Where a login may return to.  Loopback always may; a trailing
            ``*`` is the wildcard that Billit's document speaks of.

        state_returns: Whether the callback has the state that the link had.

        naive_callbacks: The callback's parameters come after a ``?`` even where the
            redirect URI has a query.

        token_shape: CamInvoice's sources disagree on the answer to a refresh: that of
            the reference, of the official sample, one with texts such as ``15m``, or
            the access token alone.  Others have one shape.

        opaque_tokens: Access tokens are no JWTs where the document has them as such.

        absent_paths: Of the token endpoint: those that answer 404.

        default_company: Whose grant it is when the page leaves the company empty.

        access_lifetime: Seconds an access token lives; also ``expires_in``.

        code_lifetime: Seconds an authorization code lives.

        refresh_lifetime: Seconds a refresh token lives from its issue; None: for ever.

        refresh_idle_lifetime: Seconds it lives from the last time that its grant was
            given tokens; None: for ever.

        minimum_age: Seconds before which an access token cannot be replaced.

        rotation: Of refresh tokens.

        replay_window: Seconds in which a spent refresh token is answered once more.

        replay_answer: The pair already given, or a new one that ends it.

        replay_until_used: The window also closes at the first use of the new pair.

        reuse_revokes: A spent refresh token ends its whole grant (RFC 9700 4.14.2).

        old_access_dies: A refresh ends the access token before it.

        orders_per_account: How many orders each company has.

        token_delay: Seconds before the token endpoint answers.

        api_delay: Seconds before the API answers.

        refusal_status: Status of the API's token errors; None: the provider's own,
            or 401 where its document gives none.

        refusal_size: Bytes up to which those errors are padded.

        early_refusals: Refuse a token before the request's body has been read.
    """

    client_id: str = field(default="sandbox-client", validator=_TEXT)
    client_secret: str = field(default="sandbox-secret", validator=_TEXT, repr=False)
    other_clients: Mapping[str, str] = field(
        factory=dict, validator=_TEXTS_BY_NAME, repr=False
    )
    redirect_uris: tuple[str, ...] = field(
        default=("https://app.example/callback",), validator=_TEXTS
    )
    state_returns: bool = field(default=True, validator=_FLAG)
    naive_callbacks: bool = field(default=False, validator=_FLAG)
    token_shape: TokenShape = field(
        default="documented",
        validator=in_(("documented", "sample", "durations", "bare")),
    )
    opaque_tokens: bool = field(default=False, validator=_FLAG)
    absent_paths: tuple[str, ...] = field(default=(), validator=_TEXTS)
    default_company: str = field(default="Acme", validator=_TEXT)
    access_lifetime: float = field(default=3600.0, validator=_NUMBER)
    code_lifetime: float = field(default=600.0, validator=_SECONDS)
    refresh_lifetime: float | None = field(default=None, validator=_MAYBE_SECONDS)
    refresh_idle_lifetime: float | None = field(default=None, validator=_MAYBE_SECONDS)
    minimum_age: float = field(default=0.0, validator=_SECONDS)
    rotation: Rotation = field(
        default="every_use", validator=in_(("every_use", "sometimes", "never"))
    )
    replay_window: float = field(default=0.0, validator=_SECONDS)
    replay_answer: ReplayAnswer = field(default="same", validator=in_(("same", "new")))
    replay_until_used: bool = field(default=False, validator=_FLAG)
    reuse_revokes: bool = field(default=True, validator=_FLAG)
    old_access_dies: bool = field(default=False, validator=_FLAG)
    orders_per_account: int = field(default=0, validator=_COUNT)
    token_delay: float = field(default=0.0, validator=_SECONDS)
    api_delay: float = field(default=0.0, validator=_SECONDS)
    refusal_status: int | None = field(
        default=None, validator=optional(and_(_COUNT, ge(400)))
    )
    refusal_size: int = field(default=0, validator=_COUNT)
    early_refusals: bool = field(default=False, validator=_FLAG)

    def change(self, changes: Mapping[str, object]) -> None:
        """Change several fields, all or none.

        Raises:
            AttributeError: There is no such field.

            TypeError: A value of the wrong kind.

            ValueError: A value out of range.
        """
        known = {each.name: each for each in fields(type(self))}
        for name, value in changes.items():
            if name not in known:
                message = f"the sandbox has no setting {name!r}; it has {sorted(known)}"
                raise AttributeError(message)
            check = known[name].validator
            if check is not None:
                check(self, known[name], value)
        for name, value in changes.items():
            setattr(self, name, value)

    def client(self, client_id: str) -> str | None:
        """The secret of *client_id*, or None if there is no such client."""
        if client_id == self.client_id:
            return self.client_secret
        return self.other_clients.get(client_id)

    def public(self) -> dict[str, Any]:
        """Every field that is no secret, ready for JSON."""
        hidden = {"client_secret", "other_clients"}
        return asdict(self, filter=lambda at, _: at.name not in hidden)
