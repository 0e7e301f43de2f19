"""The words of the RFCs, each spelled once."""

from __future__ import annotations

from typing import Final

# RFC 6749 sections 4 to 6
GRANT_TYPE: Final = "grant_type"
AUTHORIZATION_CODE: Final = "authorization_code"
REFRESH_TOKEN: Final = "refresh_token"
ACCESS_TOKEN: Final = "access_token"
CLIENT_ID: Final = "client_id"
CLIENT_SECRET: Final = "client_secret"
CODE: Final = "code"
REDIRECT_URI: Final = "redirect_uri"
RESPONSE_TYPE: Final = "response_type"
SCOPE: Final = "scope"
STATE: Final = "state"
EXPIRES_IN: Final = "expires_in"
ERROR: Final = "error"
ERROR_DESCRIPTION: Final = "error_description"

# RFC 6749 section 5.2, and what may stand in ``error``
INVALID_GRANT: Final = "invalid_grant"
INVALID_CLIENT: Final = "invalid_client"
UNAUTHORIZED_CLIENT: Final = "unauthorized_client"

# RFC 6750 sections 2.1 and 3.1
AUTHORIZATION: Final = "Authorization"
WWW_AUTHENTICATE: Final = "WWW-Authenticate"
BEARER: Final = "Bearer"
INVALID_TOKEN: Final = "invalid_token"

# RFC 7636 section 4
CODE_CHALLENGE: Final = "code_challenge"
CODE_CHALLENGE_METHOD: Final = "code_challenge_method"
CODE_VERIFIER: Final = "code_verifier"

# RFC 7009 section 2.1
TOKEN: Final = "token"

# RFC 9207 section 2
ISS: Final = "iss"

# RFC 9110 sections 6.6.1, 8.3 and 10.2.3, RFC 9111 section 5.1
DATE: Final = "Date"
CONTENT_TYPE: Final = "Content-Type"
RETRY_AFTER: Final = "Retry-After"
AGE: Final = "Age"
