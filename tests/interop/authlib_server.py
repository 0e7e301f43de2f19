"""An Authlib authorization server in Flask, as its documentation builds one.

Its documentation rotates refresh tokens; that a revoked one which comes again ends
its family is RFC 9700 section 4.14.2.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path

from attrs import define, field

# Loopback has no https, which Authlib insists on.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer,
    ResourceProtector,
    current_token,
)
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, jsonify, redirect, request, session
from serving import read_settings, serve

WANTED = read_settings()
app = Flask(__name__)
app.secret_key = secrets.token_urlsafe()
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True

LOCK = threading.RLock()
CODES, TOKENS, BOOKED = {}, [], []
PAGE = """<form method="post">{}<input type="submit" name="allow" value="OK"></form>"""
LOGIN = """<input name="username"><input name="password" type="password">"""


# ---- what it keeps


class Client(ClientMixin):
    """The one client, which authenticates with Basic."""

    client_id = WANTED["client_id"]

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return WANTED["redirect_uri"]

    def get_allowed_scope(self, scope):
        return " ".join({"orders"}.intersection(scope.split()))

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == WANTED["redirect_uri"]

    def check_client_secret(self, client_secret):
        given, right = client_secret.encode(), WANTED["client_secret"].encode()
        return secrets.compare_digest(given, right)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in {"authorization_code", "refresh_token"}


CLIENT = Client()


@define(eq=False)
class Code:
    """An authorization code."""

    code: str
    user: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


@define(eq=False)
class Pair(TokenMixin):
    """An access token and its refresh token."""

    user: str
    family: str
    token: dict
    made_at: float = field(factory=time.time)
    access_revoked: bool = False
    refresh_revoked: bool = False

    def check_client(self, client):
        return client is CLIENT

    def get_scope(self):
        return self.token["scope"]

    def get_expires_in(self):
        return self.token["expires_in"]

    def is_expired(self):
        return self.made_at + self.get_expires_in() < time.time()

    def is_revoked(self):
        return self.access_revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return CLIENT

    def revoke(self):
        self.access_revoked = self.refresh_revoked = True


def find(kind, text):
    with LOCK:
        return next((each for each in TOKENS if each.token[kind] == text), None)


def save(token, asked):
    before = asked.refresh_token
    family = before.family if before else secrets.token_urlsafe()
    with LOCK:
        TOKENS.append(Pair(asked.user, family, token))


# ---- its grants


class CodeGrant(grants.AuthorizationCodeGrant):
    """RFC 6749 section 4.1."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def save_authorization_code(self, code, asked):
        data = asked.payload.data
        challenge = data["code_challenge"], data["code_challenge_method"]
        where, scope = asked.payload.redirect_uri, asked.payload.scope
        CODES[code] = Code(code, asked.user, where, scope, *challenge)

    def query_authorization_code(self, code, client):
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code):
        del CODES[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshGrant(grants.RefreshTokenGrant):
    """Section 6, with rotation."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        found = find("refresh_token", refresh_token)
        if found is None or not found.refresh_revoked:
            return found
        with LOCK:
            for each in TOKENS:
                if each.family == found.family:
                    each.revoke()
        return None

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.refresh_revoked = True


class Revoking(RevocationEndpoint):
    """RFC 7009."""

    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token_string, token_type_hint):
        return find(token_type_hint or "refresh_token", token_string)

    def revoke_token(self, token, asked):
        token.revoke()


class Issuer(IssuerParameter):
    """RFC 9207."""

    def get_issuer(self):
        return request.host_url.rstrip("/")


class Validator(BearerTokenValidator):
    """RFC 6750."""

    def authenticate_token(self, token_string):
        return find("access_token", token_string)


server = AuthorizationServer(app, {CLIENT.client_id: CLIENT}.get, save)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)
server.register_endpoint(Revoking)
server.register_extension(Issuer())
require_oauth = ResourceProtector()
require_oauth.register_token_validator(Validator())


# ---- its pages


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        return PAGE.format(LOGIN)
    assert request.form["password"] == WANTED["password"]
    session["user"] = request.form["username"]
    return redirect(session.pop("next"))


@app.route("/oauth/authorize", methods=["GET", "POST"])
def authorize():
    user = session.get("user")
    if user is None:
        session["next"] = request.url
        return redirect("/login")
    grant = server.get_consent_grant(end_user=user)
    if request.method == "GET":
        return PAGE.format("")
    granted = user if "allow" in request.form else None
    return server.create_authorization_response(grant_user=granted, grant=grant)


@app.post("/oauth/token")
def issue_token():
    return server.create_token_response()


@app.post("/oauth/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


@app.route("/api/orders", methods=["GET", "POST"])
@require_oauth("orders")
def orders():
    if request.method == "POST":
        BOOKED.append(request.get_data(as_text=True))
        return jsonify(booked=len(BOOKED)), 201
    return jsonify(user=current_token.user)


@app.post("/control/<deed>")
def control(deed):
    """What only the operator can do."""
    with LOCK:
        for each in TOKENS:
            if each.user == request.args["user"] and deed == "expire":
                each.token["expires_in"] = -1
            elif each.user == request.args["user"] and deed == "revoke":
                each.revoke()
    return jsonify(BOOKED)


if __name__ == "__main__":
    serve(app, Path(WANTED["folder"]) / "ledger.jsonl")
