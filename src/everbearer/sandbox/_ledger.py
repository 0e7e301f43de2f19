"""The evidence: what was issued, spent, reused, refused and received.

Counting costs a few attribute writes a call, whatever the volume; the lists keep the
newest entries only.  Nothing printed from here holds a secret: headers, parameters and
bodies are kept for tests in the same process and left out of every repr and summary.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, define, evolve, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ApiCall",
    "Figures",
    "FiredFault",
    "LastResort",
    "Ledger",
    "LostGrant",
    "OtherRequest",
    "TokenRequest",
]

_KEPT: Final = 10_000
_HTTP_ERRORS: Final = 400
_UNAUTHORIZED: Final = 401


@frozen
class LastResort:
    """A refresh token presented again after an answer in doubt.

    Attributes:
        cause: The fault that spoiled the earlier answer.

        honoured: Whether it was still good: the earlier request had no effect.
    """

    company: str
    cause: str
    honoured: bool


@frozen
class LostGrant:
    """A grant that ended by a token presented twice, not by the script or a user."""

    company: str
    cause: str


@frozen
class FiredFault:
    """A fault of the script, or an action of it, that took effect."""

    kind: str
    company: str | None


@frozen
class TokenRequest:
    """What arrived at the token endpoint, and what it came to."""

    company: str | None
    grant_type: str | None
    params: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    status: int | None = None
    error: str | None = None
    fault: str | None = None


@frozen
class ApiCall:
    """What arrived at the API.

    Attributes:
        company: Whose token it carried, or None.

        generation: Of that token: how many refreshes its grant had seen.

        refusal: The token error it was answered, or None.

        sha256: Of the body, where the route reads one; as is `length`.
    """

    company: str | None
    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    generation: int | None = None
    refusal: str | None = None
    sha256: str | None = None
    length: int | None = None

    @property
    def party_id(self) -> str | None:
        """The ``PartyID`` header."""
        return self.headers.get("PartyID")


@frozen
class OtherRequest:
    """What arrived at the second origin."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@define
class Figures:
    """Counts for one company, or for all.

    Attributes:
        calls: API requests answered.

        unauthorized: Those answered 401, for whatever reason.

        refused: Those refused for their token, at whatever status.

        failed: Those answered 400 or above for any other reason.

        documents: Orders served, repeats included.

        exchanges: Codes redeemed.

        refreshes: Refresh tokens spent.

        replays: Spent ones answered inside the replay window.

        reuse: Spent ones presented with nothing to excuse it.

        last_resorts: Ones presented again after an answer in doubt.

        lost_grants: Grants that ended by reuse, last resort or a code used twice.

        token_requests: All requests to the token endpoint.

        token_concurrency: The most of them at one time.
    """

    calls: int = 0
    unauthorized: int = 0
    refused: int = 0
    failed: int = 0
    documents: int = 0
    exchanges: int = 0
    refreshes: int = 0
    replays: int = 0
    reuse: int = 0
    last_resorts: int = 0
    lost_grants: int = 0
    token_requests: int = 0
    token_concurrency: int = 0
    _at_once: int = field(default=0, repr=False)

    def public(self) -> dict[str, int]:
        """Every figure, ready for JSON."""
        return asdict(self, filter=lambda at, _: not at.name.startswith("_"))

    def came(self) -> None:
        """A token request has arrived."""
        self.token_requests += 1
        self._at_once += 1
        self.token_concurrency = max(self.token_concurrency, self._at_once)

    def went(self) -> None:
        """A token request is answered or abandoned."""
        self._at_once -= 1


class Ledger:
    """Everything the sandbox saw.  Requests without a known token count in *total*."""

    def __init__(self) -> None:
        self.total = Figures()
        self.by_company: defaultdict[str, Figures] = defaultdict(Figures)
        self.statuses: Counter[int] = Counter()
        self.last_resorts: list[LastResort] = []
        self.lost: list[LostGrant] = []
        self.faults: deque[FiredFault] = deque(maxlen=_KEPT)
        self.token_requests: deque[TokenRequest] = deque(maxlen=_KEPT)
        self.api_calls: deque[ApiCall] = deque(maxlen=_KEPT)
        self.other_origin: deque[OtherRequest] = deque(maxlen=_KEPT)

    def __repr__(self) -> str:
        return f"<Ledger: {self.total!r}>"

    @property
    def reuse(self) -> int:
        """Spent refresh tokens presented with nothing to excuse it."""
        return self.total.reuse

    @property
    def last_resort(self) -> int:
        """Refresh tokens presented again after an answer in doubt."""
        return self.total.last_resorts

    @property
    def replays(self) -> int:
        """Spent refresh tokens answered inside the replay window."""
        return self.total.replays

    @property
    def refreshes(self) -> int:
        """Refresh tokens spent."""
        return self.total.refreshes

    @property
    def exchanges(self) -> int:
        """Authorization codes redeemed."""
        return self.total.exchanges

    @property
    def lost_grants(self) -> int:
        """Grants that ended by a token presented twice."""
        return self.total.lost_grants

    @property
    def calls(self) -> int:
        """API requests answered."""
        return self.total.calls

    @property
    def unauthorized(self) -> int:
        """API requests answered 401."""
        return self.total.unauthorized

    @property
    def refused(self) -> int:
        """API requests refused for their token."""
        return self.total.refused

    @property
    def failed(self) -> int:
        """API requests answered 400 or above for another reason than the token."""
        return self.total.failed

    @property
    def documents(self) -> int:
        """Orders served."""
        return self.total.documents

    @property
    def max_concurrency(self) -> int:
        """The most token requests at one time."""
        return self.total.token_concurrency

    def max_concurrency_of(self, company: str) -> int:
        """The most token requests for *company* at one time."""
        return self.company(company).token_concurrency

    def company(self, name: str) -> Figures:
        """The figures of one company; all zero if it was never seen."""
        return self.by_company[name] if name in self.by_company else Figures()

    def figures(self, company: str | None) -> Iterator[Figures]:
        """What a count for *company* goes into."""
        yield self.total
        if company is not None:
            yield self.by_company[company]

    def fault_fired(self, kind: str, company: str | None) -> None:
        """A fault or an action of the script took effect."""
        self.faults.append(FiredFault(kind, company))

    def exchanged(self, company: str) -> None:
        """A code was redeemed."""
        for each in self.figures(company):
            each.exchanges += 1

    def refreshed(self, company: str) -> None:
        """A refresh token was spent."""
        for each in self.figures(company):
            each.refreshes += 1

    def replayed(self, company: str) -> None:
        """A spent one was answered once more."""
        for each in self.figures(company):
            each.replays += 1

    def reused(self, company: str) -> None:
        """A spent one was presented with nothing to excuse it."""
        for each in self.figures(company):
            each.reuse += 1

    def resorted(self, company: str, cause: str, *, honoured: bool) -> None:
        """A refresh token was presented again after an answer in doubt."""
        self.last_resorts.append(LastResort(company, cause, honoured))
        for each in self.figures(company):
            each.last_resorts += 1

    def grant_lost(self, company: str, cause: str) -> None:
        """A grant ended by a token presented twice."""
        self.lost.append(LostGrant(company, cause))
        for each in self.figures(company):
            each.lost_grants += 1

    def token_request(
        self, request: TokenRequest, status: int | None, error: str | None
    ) -> None:
        """A token request was answered with *status*, or dropped if that is None."""
        self.token_requests.append(evolve(request, status=status, error=error))

    def api_call(self, call: ApiCall, documents: int = 0) -> None:
        """An API request was answered."""
        self.api_calls.append(call)
        self.statuses[call.status] += 1
        for each in self.figures(call.company):
            each.calls += 1
            each.documents += documents
            each.unauthorized += call.status == _UNAUTHORIZED
            each.refused += call.refusal is not None
            each.failed += call.refusal is None and call.status >= _HTTP_ERRORS

    def summary(self) -> dict[str, Any]:
        """The figures and what explains them, ready for JSON; no secrets."""
        return {
            "total": self.total.public(),
            "companies": {
                name: each.public() for name, each in sorted(self.by_company.items())
            },
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "last_resorts": [asdict(each) for each in self.last_resorts],
            "lost": [asdict(each) for each in self.lost],
            "faults": [
                {**asdict(fault), "times": times}
                for fault, times in Counter(self.faults).items()
            ],
        }
