"""HOW a token is asked for: grants, requests and answers as values; one file posts."""

from everbearer.token_endpoint._adoptable import check_adoptable
from everbearer.token_endpoint._document import parsed, storable
from everbearer.token_endpoint._endpoint import TokenEndpoint
from everbearer.token_endpoint._grant import (
    CodeGrant,
    Grant,
    RedirectUris,
    RefreshGrant,
    Revocation,
)
from everbearer.token_endpoint._outcome import (
    Ambiguous,
    Granted,
    Misconfigured,
    NotSent,
    Outcome,
    OutcomeKind,
    Refused,
    Throttled,
    TooEarly,
    Unrecognised,
)
from everbearer.token_endpoint._request import TokenRequest, token_request
from everbearer.token_endpoint._response import classify, is_acceptable_token
from everbearer.token_endpoint._skew import Skews

__all__ = [
    "Ambiguous",
    "CodeGrant",
    "Grant",
    "Granted",
    "Misconfigured",
    "NotSent",
    "Outcome",
    "OutcomeKind",
    "RedirectUris",
    "RefreshGrant",
    "Refused",
    "Revocation",
    "Skews",
    "Throttled",
    "TokenEndpoint",
    "TokenRequest",
    "TooEarly",
    "Unrecognised",
    "check_adoptable",
    "classify",
    "is_acceptable_token",
    "parsed",
    "storable",
    "token_request",
]
