"""The pages a person sees: plain HTML, one form, labels on everything."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["consent", "login", "refused"]

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - {provider} (sandbox)</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem;
       margin: 3rem auto; padding: 0 1rem; }}
input, button {{ font: inherit; padding: .5rem .9rem; }}
input {{ display: block; width: 100%; box-sizing: border-box; margin: .3rem 0 1rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
<p><small>Everbearer's sandbox, not the real {provider}.</small></p>
</main>
</body>
</html>
"""

_CONSENT: Final = """\
<p><strong>{client}</strong> asks to act in the name of your company.</p>
<form method="post">
<label for="company">Company</label>
<input id="company" name="company" value="{company}" list="companies"
       maxlength="255" autocomplete="organization" required>
<datalist id="companies">{companies}</datalist>
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny" formnovalidate>Deny</button>
</form>
"""


def consent(provider: str, client: str, company: str, companies: list[str]) -> str:
    """The page with Allow and Deny, and the company to choose."""
    options = "".join(f'<option value="{escape(each)}">' for each in companies)
    content = _CONSENT.format(
        client=escape(client), company=escape(company), companies=options
    )
    return _PAGE.format(provider=provider, title="Allow access?", content=content)


def login(provider: str) -> str:
    """The default login page, which leads back to nobody."""
    content = "<p>You came without a link of an application: nothing to allow.</p>"
    return _PAGE.format(provider=provider, title="Log in", content=content)


def refused(provider: str, why: str) -> str:
    """The page for a link that is wrong."""
    content = f"<p>{escape(why)}</p>"
    return _PAGE.format(
        provider=provider, title="Invalid OAuth2 request", content=content
    )
