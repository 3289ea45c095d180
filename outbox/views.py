"""Where a mail stands, for its owner; and health, for machines."""

from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from outbox import exposition, queries
from outbox.models import Intent
from outbox.states import State


class IntentSerializer(serializers.ModelSerializer[Intent]):
    """What the owner of a mail may know of it."""

    class Meta:
        """Never the context: it is the app's own."""

        model = Intent
        fields = ["task_id", "kind", "state", "attempts", "created_at", "due_at", "expires_at", "closed_at"]


class IntentAnswer(serializers.Serializer[Any]):
    """The answer of GET /api/outbox/<task_id>/."""

    status = serializers.ChoiceField(["success"])
    en = serializers.CharField()
    ar = serializers.CharField()
    task = IntentSerializer()


WORDS = {
    State.PENDING: ("The mail is waiting to be sent.", "الرسالة في انتظار الإرسال."),
    State.CLAIMED: ("The mail is about to be sent.", "الرسالة على وشك الإرسال."),
    State.SENDING: ("The mail is being sent.", "جارٍ إرسال الرسالة."),
    State.SENT: ("The mail was sent.", "أُرسلت الرسالة."),
    State.DEAD: ("The mail could not be sent.", "تعذّر إرسال الرسالة."),
    State.EXPIRED: ("The mail was not sent in time.", "لم تُرسل الرسالة في الوقت المناسب."),
    State.CANCELLED: ("The mail was cancelled.", "أُلغيت الرسالة."),
}


class IntentView(APIView):
    """GET /api/outbox/<task_id>/."""

    permission_classes = [IsAuthenticated]

    @extend_schema(responses=IntentAnswer)
    def get(self, request: Request, task_id: UUID) -> Response:
        """Say where the mail stands; 404 alike for what is somebody else's and for what does not exist."""
        intent = self._find(request, task_id)
        if intent is None:
            raise Http404
        english, arabic = WORDS[State(intent.state)]
        return Response({"status": "success", "en": english, "ar": arabic, "task": IntentSerializer(intent).data})

    def _find(self, request: Request, task_id: UUID) -> Intent | None:
        user = request.user
        if getattr(user, "is_staff", False):
            return Intent.objects.filter(task_id=task_id).first()
        address = getattr(user, "email", "")
        return queries.visible_to(task_id, owner=str(user.pk), address=address)


def healthz(_request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> JsonResponse:
    """This process can do its work: the database answers and has every migration."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return JsonResponse({"status": "error", "reason": "database unreachable"}, status=503)
    if missing:
        return JsonResponse({"status": "error", "reason": "migrations missing"}, status=503)
    return JsonResponse({"status": "ok"})


def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus, to whoever has the token or asks from an allowed network."""
    if not (settings.DEBUG or _has_token(request) or _is_inside(request)):
        return HttpResponse("METRICS_TOKEN as a bearer token, or an address in METRICS_ALLOW\n", status=403)
    return HttpResponse(exposition.text(), content_type=exposition.CONTENT_TYPE)


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    return bool(settings.METRICS_TOKEN) and constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")


def _is_inside(request: HttpRequest) -> bool:
    """Whoever comes through a proxy has the proxy's address, so a network vouches only for those who do not."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has none
        return False
    return any(address in network for network in settings.METRICS_ALLOW)
