"""WHO: providers described as data, and this program's registrations with them."""

from everbearer.providers._base_url import check_base_url
from everbearer.providers._description import (
    AccessTokenSpan,
    AuthorizeEndpoint,
    Callback,
    ErrorRule,
    ExpirySignal,
    Hosts,
    IdentityHeader,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
    Verdict,
)
from everbearer.providers._registration import Registration, by_name, named
from everbearer.providers._standard import standard_provider
from everbearer.providers.billit import BILLIT
from everbearer.providers.caminvoice import CAMINVOICE
from everbearer.providers.flowaccount import FLOWACCOUNT
from everbearer.providers.humansoft import HUMANSOFT
from everbearer.providers.invoiced import INVOICED

__all__ = [
    "BILLIT",
    "CAMINVOICE",
    "FLOWACCOUNT",
    "HUMANSOFT",
    "INVOICED",
    "AccessTokenSpan",
    "AuthorizeEndpoint",
    "Callback",
    "ErrorRule",
    "ExpirySignal",
    "Hosts",
    "IdentityHeader",
    "Provider",
    "Registration",
    "TokenAnswer",
    "TokenCall",
    "TokenVerdict",
    "Verdict",
    "by_name",
    "check_base_url",
    "named",
    "standard_provider",
]
