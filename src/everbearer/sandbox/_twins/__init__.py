"""One file for each provider that the sandbox can play."""

from typing import Final

from everbearer.sandbox._twin import Twin
from everbearer.sandbox._twins.billit import BILLIT
from everbearer.sandbox._twins.flowaccount import FLOWACCOUNT
from everbearer.sandbox._twins.humansoft import HUMANSOFT
from everbearer.sandbox._twins.invoiced import INVOICED
from everbearer.sandbox._twins.standard import STANDARD

__all__ = ["PROVIDERS", "TWINS"]

TWINS: Final[dict[str, Twin]] = {
    each.name: each for each in (BILLIT, FLOWACCOUNT, HUMANSOFT, INVOICED, STANDARD)
}
PROVIDERS: Final = tuple(TWINS)
