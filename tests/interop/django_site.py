"""The API behind django-oauth-toolkit, its operator's controls, and all URLs."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.views import LoginView
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.models import AccessToken, RefreshToken
from oauth2_provider.views.generic import (
    ProtectedResourceMetadataView,
    ProtectedResourceView,
)

BOOKED = []


@method_decorator(csrf_exempt, name="dispatch")
class Orders(ProtectedResourceMetadataView):
    """A dead token is a 401 with a Bearer challenge (RFC 6750 section 3)."""

    def get(self, request):
        return JsonResponse({"user": request.resource_owner.get_username()})

    def post(self, request):
        BOOKED.append(request.body.decode())
        return JsonResponse({"booked": len(BOOKED)}, status=201)


class PlainOrders(ProtectedResourceView):
    """A dead token is a 403 without a word: the default of django-oauth-toolkit."""

    def get(self, request):
        return JsonResponse({"user": request.resource_owner.get_username()})


@csrf_exempt
def control(request, deed):
    """What only the operator can do."""
    user = request.GET.get("user")
    if deed == "expire":
        past = timezone.now() - timedelta(seconds=1)
        AccessToken.objects.filter(user__username=user).update(expires=past)
    elif deed == "revoke":
        for token in RefreshToken.objects.filter(user__username=user):
            token.revoke()
    elif deed == "booked":
        return JsonResponse(BOOKED, safe=False)
    return HttpResponse()


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login", LoginView.as_view()),
    path("api/orders", Orders.as_view()),
    path("api/plain", PlainOrders.as_view()),
    path("control/<deed>", control),
]
