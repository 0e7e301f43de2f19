"""django-oauth-toolkit as its documentation sets it up, with an API behind it."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import django
from django.conf import settings
from serving import read_settings, serve

WANTED = read_settings()
FOLDER = Path(WANTED["folder"])
LOGIN = """<form method="post">{% csrf_token %}{{ form.as_p }}
<input type="submit" value="Log in"></form>"""

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    AUTH_PASSWORD_VALIDATORS=[],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(FOLDER / "server.db"),
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    LOGIN_URL="/login",
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # The tables as the models say: the history of migrations takes its time.
    MIGRATION_MODULES={
        "auth": None,
        "contenttypes": None,
        "oauth2_provider": None,
        "sessions": None,
    },
    OAUTH2_PROVIDER={
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
        "PKCE_REQUIRED": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ROTATE_REFRESH_TOKEN": True,
        "SCOPES": {"orders": "Read and write orders"},
        **WANTED["oauth2"],
    },
    # Quick on purpose: client secrets are hashed too, and checked by each request.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="django_site",
    SECRET_KEY=secrets.token_urlsafe(),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {"registration/login.html": LOGIN},
                    ),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    USE_TZ=True,
)
django.setup()
# What it answers is in the ledger; what it breaks on is an error.
logging.getLogger("django.request").setLevel(logging.ERROR)


def application():
    """Tables, users and the one client; then what serves them."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from oauth2_provider.models import Application

    call_command("migrate", run_syncdb=True, verbosity=0)
    for name in WANTED["users"]:
        get_user_model().objects.create_user(name, password=WANTED["password"])
    Application.objects.create(
        name="Everbearer",
        client_id=WANTED["client_id"],
        client_secret=WANTED["client_secret"],
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=WANTED["redirect_uri"],
    )
    return get_wsgi_application()


if __name__ == "__main__":
    serve(application(), FOLDER / "ledger.jsonl")
