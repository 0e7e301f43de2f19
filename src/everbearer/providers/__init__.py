"""WHO: providers described as data, and this program's registrations with them."""

from everbearer.providers._base_url import check_base_url
from everbearer.providers._description import (
    AccessTokenSpan,
    AccountFacts,
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
from everbearer.providers.exact_online import EXACT_ONLINE
from everbearer.providers.flowaccount import FLOWACCOUNT
from everbearer.providers.fortnox import FORTNOX
from everbearer.providers.freeagent import FREEAGENT
from everbearer.providers.freshbooks import FRESHBOOKS
from everbearer.providers.humansoft import HUMANSOFT
from everbearer.providers.invoiced import INVOICED
from everbearer.providers.moneybird import MONEYBIRD
from everbearer.providers.quickbooks import QUICKBOOKS
from everbearer.providers.sage_accounting import SAGE_ACCOUNTING
from everbearer.providers.teamleader import TEAMLEADER
from everbearer.providers.xero import XERO
from everbearer.providers.zoho_books import ZOHO_BOOKS

__all__ = [
    "BILLIT",
    "CAMINVOICE",
    "EXACT_ONLINE",
    "FLOWACCOUNT",
    "FORTNOX",
    "FREEAGENT",
    "FRESHBOOKS",
    "HUMANSOFT",
    "INVOICED",
    "MONEYBIRD",
    "QUICKBOOKS",
    "SAGE_ACCOUNTING",
    "TEAMLEADER",
    "XERO",
    "ZOHO_BOOKS",
    "AccessTokenSpan",
    "AccountFacts",
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
