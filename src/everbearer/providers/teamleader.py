"""Teamleader Focus (Belgium).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from everbearer.providers._standard import standard_provider

__all__ = ["TEAMLEADER"]

TEAMLEADER = standard_provider(
    "teamleader",
    # Open catalogue of OAuth providers.
    authorize_url="https://focus.teamleader.eu/oauth2/authorize",
    token_url="https://focus.teamleader.eu/oauth2/access_token",
    api_base="https://api.focus.teamleader.eu",
    client_authentication="client_secret_post",
    # The integration's own, chosen where it is registered: no scopes in the link.
    # smekkos/teamleader-python-sdk calls it rotation; Teamleader's own word: unknown.
    rotation="every_use",
    replay_window=0.0,
    # teamleadercrm/api#799: one hour.  The refresh token's: unknown (third parties
    # say 14 days).
    default_lifetime=3600.0,
    # n8n-io/n8n#5623: "access token expired" after an hour; its body: unknown.
    bare_401=True,
)
