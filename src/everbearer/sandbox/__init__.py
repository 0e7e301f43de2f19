"""Providers emulated from their documents, with a ledger of everything that happened.

`Sandbox` plays one provider on a loopback port: the login page that a person would see,
the token endpoint, and an API.  Its `Ledger` says what was issued, spent, reused and
received; its `Script` makes things go wrong by the constructors of
`everbearer.sandbox.faults`.  Each provider's *twin* is written from that provider's
document and shares no code with the client; what is common to all is written once.
Any other `everbearer.providers.Provider` is played as it is described.
"""

from everbearer.sandbox import faults
from everbearer.sandbox._ledger import (
    ApiCall,
    Figures,
    FiredFault,
    LastResort,
    Ledger,
    LostGrant,
    OtherRequest,
    TokenRequest,
)
from everbearer.sandbox._script import Script
from everbearer.sandbox._server import IssuedPair, LoginRefused, Sandbox, run
from everbearer.sandbox._settings import Settings
from everbearer.sandbox._twins import PROVIDERS
from everbearer.sandbox.faults import Fault

__all__ = [
    "PROVIDERS",
    "ApiCall",
    "Fault",
    "Figures",
    "FiredFault",
    "IssuedPair",
    "LastResort",
    "Ledger",
    "LoginRefused",
    "LostGrant",
    "OtherRequest",
    "Sandbox",
    "Script",
    "Settings",
    "TokenRequest",
    "faults",
    "run",
]
