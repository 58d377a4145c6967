# mypy: ignore-errors
"""A Django site with Django OAuth Toolkit: the token endpoint, and a resource that takes its tokens.

Run by Debian's own Python, in the folder of its database: `python3 site.py PORT` makes the database, prints a
line of JSON with two clients and a refresh token, and serves.
"""

import json
import sys
from datetime import timedelta

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": 3600, "SCOPES": {"read": "Read", "write": "Write"}},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command, execute_from_command_line  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from oauth2_provider.models import AccessToken, Application, RefreshToken  # noqa: E402
from oauth2_provider.oauth2_backends import get_oauthlib_core  # noqa: E402


def resource(request):
    """Whoever has a token that is good for reading gets this (RFC 6750, 3)."""
    valid, _ = get_oauthlib_core().verify_request(request, scopes=["read"])
    if valid:
        return HttpResponse("protected", content_type="text/plain")
    refusal = HttpResponse(status=401)
    refusal["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return refusal


def count(_):
    """How many access tokens there are."""
    return JsonResponse({"access_tokens": AccessToken.objects.count()})


def revoke(_):
    """Ends every access token; refresh tokens stay."""
    AccessToken.objects.update(expires=timezone.now() - timedelta(days=1))
    return HttpResponse()


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api/file.txt", resource),
    path("count", count),
    path("revoke", revoke),
]


def _client(name, grant, user):
    application = Application(
        name=name,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=grant,
        user=user,
        client_secret=f"secret of {name}",
    )
    application.save()  # the secret is hashed on the way
    return application


def _set_up():
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("ann")
    machine = _client("machine", Application.GRANT_CLIENT_CREDENTIALS, user)
    person = _client("person", Application.GRANT_AUTHORIZATION_CODE, user)
    spent = AccessToken.objects.create(
        user=user, application=person, token="spent", expires=timezone.now(), scope="read write"
    )
    consent = RefreshToken.objects.create(
        user=user, application=person, token="consent of ann", access_token=spent
    )
    return {
        "machine": machine.client_id,
        "person": person.client_id,
        "refresh_token": consent.token,
    }


if __name__ == "__main__":
    print(json.dumps(_set_up()), flush=True)
    sys.modules[settings.ROOT_URLCONF] = sys.modules[__name__]
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
