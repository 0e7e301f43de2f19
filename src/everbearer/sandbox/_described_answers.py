"""The answers of a twin that was made from a description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from everbearer.providers import TokenVerdict, Verdict
from everbearer.sandbox import _rfc
from everbearer.sandbox._answer import Answer

if TYPE_CHECKING:
    from everbearer.providers import AccessTokenSpan, Provider
    from everbearer.sandbox._grants import Grant, Grants
    from everbearer.sandbox._twin import Paid, Refusal

__all__ = [
    "DONE",
    "bad_request",
    "named",
    "refuse",
    "token_error",
    "token_response",
    "told",
]

DONE: Final = Answer.of({})

# What may stand for another where a description does not tell them apart.
_VERDICTS: Final = {
    "AccessTokenExpired": (Verdict.EXPIRED, Verdict.INVALID),
    "InvalidAccessToken": (Verdict.INVALID, Verdict.EXPIRED),
    "AccessTokenRevoked": (Verdict.REVOKED, Verdict.INVALID, Verdict.EXPIRED),
}
_TOKEN_VERDICTS: Final = {
    "invalid_code": TokenVerdict.REFUSED,
    "invalid_refresh_token": TokenVerdict.REFUSED,
    "invalid_client": TokenVerdict.MISCONFIGURED,
    "unsupported_grant_type": TokenVerdict.MISCONFIGURED,
    "too_early": TokenVerdict.TOO_EARLY,
}


def told(names: Iterable[str], company: str) -> dict[str, str]:
    """Members or parameters that are kept, different for every company."""
    return {name: f"{name} of {company}" for name in names}


def named(provider: Provider, grants: Grants, given: str) -> Iterable[Grant]:
    """The grants that *given* is a token of, or what was told with the token."""
    for token in (grants.refresh_token(given), grants.access_token(given)):
        if token is not None:
            yield token.grant
    for grant in grants.of(None):
        if given in told(provider.revokes[:1], grant.company).values():
            yield grant


def token_response(provider: Provider, paid: Paid) -> dict[str, Any]:
    """The members that the description names, and ``token_type`` (RFC 6749 5.1).

    Without a lifetime in the description the answer tells none either.
    """
    reading, grant = provider.answer, paid.pair.access.grant
    content: dict[str, Any] = {
        reading.access_token: paid.pair.access_token,
        "token_type": "Bearer",
    }
    if paid.grant_type == "authorization_code" or paid.settings.rotation != "never":
        content[reading.refresh_token] = paid.pair.refresh_token
    if reading.default_lifetime is not None:
        content |= _span(reading.spans, paid.expires_in, paid.now)
    if (left := _refresh_left(paid)) is not None:
        content |= _span(reading.refresh_spans, left, paid.now)
    content |= told(reading.keep_extra, grant.company)
    first, *steps = provider.revokes
    if first in reading.keep_extra:
        content[first] = _nested(steps, content[first])
    return content


def _refresh_left(paid: Paid) -> float | None:
    """Seconds to the earlier of the refresh token's ends."""
    settings, refresh = paid.settings, paid.pair.refresh
    ends = []
    if settings.refresh_idle_lifetime is not None:
        ends.append(paid.now + settings.refresh_idle_lifetime)
    if settings.refresh_lifetime is not None:
        ends.append(refresh.issued_at + settings.refresh_lifetime)
    return int(min(ends) - paid.now) if ends else None


def _span(
    spans: Sequence[AccessTokenSpan], seconds: float, now: float
) -> dict[str, Any]:
    """The first of *spans*, unless it is a claim, which is in the token itself."""
    for span in spans[:1]:
        if span.form == "instant":
            return {span.name: datetime.fromtimestamp(now + seconds, UTC).isoformat()}
        if span.form != "claim":
            return {span.name: seconds}
    return {}


def token_error(provider: Provider, refusal: Refusal) -> Answer:
    """By the first rule with that meaning; RFC 6749 section 5.2 where there is none."""
    verdict = _TOKEN_VERDICTS.get(refusal.kind)
    rules = (each for each in provider.error_rules if each.verdict is verdict)
    rule = next(rules, None)
    if rule is None:
        return _rfc.token_error(refusal)
    said = _one_of(rule.values, _rfc.error_code(refusal))
    content = _nested(rule.json_path or ("error",), said)
    return Answer.of(content, min(rule.statuses, default=400), said)


def refuse(provider: Provider, code: str, presented: bool) -> Answer:  # noqa: FBT001 - as declared
    """By the first signal with that meaning; a bare 401 where there is none."""
    verdicts = _VERDICTS.get(code, (Verdict.INVALID, Verdict.EXPIRED))
    signals = (
        each
        for verdict in verdicts
        for each in provider.expiry_signals
        if each.verdict is verdict
    )
    signal = next(signals, None)
    if signal is None or not presented:
        return Answer(401)
    answer = Answer()
    if signal.json_path:
        answer = Answer.of(_nested(signal.json_path, _one_of(signal.values, code)))
    headers = dict(answer.headers)
    if signal.www_authenticate_error:
        said = f'Bearer error="{signal.www_authenticate_error}"'
        headers["WWW-Authenticate"] = said
    return Answer(min(signal.statuses, default=401), answer.body, headers)


def bad_request(why: str) -> Answer:
    """For the routes for tests."""
    return Answer.of({"error": "invalid_request", "error_description": why}, 400)


def _one_of(values: frozenset[str], preferred: str) -> str:
    return preferred if not values or preferred in values else min(values)


def _nested(path: Iterable[str], value: str) -> Any:  # noqa: ANN401 - JSON
    """What *path* leads to *value* in; ``*`` is a list of one."""
    content: Any = value
    for step in reversed(tuple(path)):
        content = [content] if step == "*" else {step: content}
    return content
