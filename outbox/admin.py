"""Read-only tables with actions that go through the same door as everything else."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from outbox import breaker, confirmed, kinds, wording
from outbox.addresses import masked, normalised
from outbox.admin_previews import PreviewAdmin
from outbox.breaker import DEFAULT
from outbox.changelist import CappedPaginator, DayFilter, KindFilter
from outbox.errors import BadAddress
from outbox.models import Errand, Intent, Provider
from outbox.states import CLOSED, HELD, State

_COPIES = 20

_COLOURS = {
    "pending": "info",
    "claimed": "info",
    "sending": "warning",
    "sent": "success",
    "dead": "danger",
}


class ReadOnly(ModelAdmin):  # type: ignore[misc]
    """Rows are written by the outbox alone; people look, and use actions."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody edits rows by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows go with their retention."""
        return False


@admin.register(Intent)
class IntentAdmin(PreviewAdmin, ReadOnly):
    """Find one person's mail, look at it, read what happened to it, resend, replay or cancel it."""

    list_display = ["show_state", "kind", "show_recipient", "attempts", "show_age", "show_next", "show_reason"]
    list_display_links = ["show_state", "kind"]
    list_filter = ["state", KindFilter, ("closed_at", DayFilter)]
    list_per_page = 50
    search_fields = ["task_id"]  # shows the box; get_search_results decides
    search_help_text = "A whole address, a task id or a Message-ID"
    ordering = ["-pk"]
    sortable_by = ()  # by any other column the whole table would be sorted
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the whole table
    readonly_fields = ["show_mail"]
    actions = ["resend", "replay", "cancel"]
    fieldsets = [
        (None, {"fields": ["show_mail"]}),
        (
            "Details",
            {
                "fields": [
                    "task_id",
                    "message_id",
                    "recipient",
                    "language",
                    "priority",
                    "owner",
                    "dedupe_key",
                    "repeatable",
                    "created_at",
                    "scheduled_at",
                    "due_at",
                    "expires_at",
                    "closed_at",
                    "actor",
                    "reason",
                    "trace",
                ]
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Intent]:
        """Without the columns that nobody looks at here: a message may be of ten megabytes."""
        return super().get_queryset(request).defer("payload", "context")  # type: ignore[no-any-return]

    @display(description="state", label=_COLOURS)
    def show_state(self, intent: Intent) -> str:
        """The state as a badge."""
        return intent.state

    @admin.display(description="recipient")
    def show_recipient(self, intent: Intent) -> str:
        """The address as a list may show it."""
        return masked(intent.recipient)

    @admin.display(description="age")
    def show_age(self, intent: Intent) -> str:
        """How long ago it was enqueued."""
        return _unbroken(wording.span(timezone.now() - intent.created_at))

    @admin.display(description="next try")
    def show_next(self, intent: Intent) -> str:
        """When it is tried, as far as that is planned."""
        if intent.state != State.PENDING:
            return "now" if intent.state in HELD else "–"
        wait = intent.due_at - timezone.now()
        return _unbroken(f"in {wording.span(wait)}" if wait > timedelta() else f"due for {wording.span(-wait)}")

    @admin.display(description="reason")
    def show_reason(self, intent: Intent) -> str:
        """Why it is where it is, in short."""
        return Truncator(intent.reason).chars(80)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Intent], search_term: str
    ) -> tuple[QuerySet[Intent], bool]:
        """Exact searches only: each uses an index, whatever the size of the table."""
        term = search_term.strip()
        return (queryset.filter(_lookup(term)) if term else queryset), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Intent | None = None, **kwargs: Any
    ) -> HttpResponse:
        """The page of one mail: words, timeline, copies, and what may be done."""
        facts = self._facts(request, obj) if obj else {}
        return super().render_change_form(request, {**context, **facts}, *args, obj=obj, **kwargs)  # type: ignore[no-any-return]

    def _facts(self, request: HttpRequest, intent: Intent) -> dict[str, Any]:
        provider = Provider.objects.filter(name=DEFAULT).first()
        allowed = {"resend": CLOSED, "replay": {State.DEAD}, "cancel": {State.PENDING, State.CLAIMED}}
        return {
            "intent": intent,
            "words": wording.explain(intent, provider, timezone.now()),
            "attempts": list(intent.history.all()),
            "copies": list(intent.copies.only("pk", "task_id", "state", "created_at").order_by("pk")[:_COPIES]),
            "possible": [
                name
                for name, states in allowed.items()
                if intent.state in states and request.user.has_perm(f"outbox.{name}_intent")
            ],
        }

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whether this person may resend."""
        return request.user.has_perm("outbox.resend_intent")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whether this person may replay."""
        return request.user.has_perm("outbox.replay_intent")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this person may cancel."""
        return request.user.has_perm("outbox.cancel_intent")

    @admin.action(description="Resend as linked copies …", permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: QuerySet[Intent]) -> HttpResponse | None:
        """Enqueue a copy of each closed mail."""
        return confirmed.act(self, request, queryset, "resend")

    @admin.action(description="Replay dead letters …", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Intent]) -> HttpResponse | None:
        """Send dead letters back to be tried again."""
        return confirmed.act(self, request, queryset, "replay")

    @admin.action(description="Cancel …", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Intent]) -> HttpResponse | None:
        """Cancel each mail that is not under way."""
        return confirmed.act(self, request, queryset, "cancel")


def _unbroken(text: str) -> str:
    """With spaces at which no line breaks."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _lookup(term: str) -> Q:
    """What a search term may mean; a Message-ID holds the task id, unless another app made the message."""
    bare = term.strip("<>")
    meant = Q(kind=kinds.RAW.name, message_id=f"<{bare}>")
    with suppress(ValueError):
        meant |= Q(task_id=UUID(bare.partition("@")[0]))
    with suppress(BadAddress):
        meant |= Q(recipient=normalised(bare))
    return meant


@admin.register(Provider)
class ProviderAdmin(ReadOnly):
    """The breaker, the pause and the last tick; the pause has a switch."""

    list_display = ["name", "opened_at", "reason", "probe_at", "window", "paused_at", "ticked_at"]

    def get_urls(self) -> list[URLPattern]:
        """The switch, before the admin's own pattern that takes everything for an id."""
        own = [
            path(f"{name}/", self.admin_site.admin_view(self._guarded(view)), name=f"outbox_{name}")
            for name, view in (("pause", self.pause), ("resume", self.resume))
        ]
        return [*own, *super().get_urls()]

    def _guarded(self, view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
        """Only for who may pause, and only by POST, in this order: others learn nothing."""

        def guarded(request: HttpRequest) -> HttpResponse:
            if not request.user.has_perm("outbox.pause_provider"):
                raise PermissionDenied
            return require_POST(view)(request)

        return guarded

    def pause(self, request: HttpRequest) -> HttpResponse:
        """Stop dispatch."""
        return self._switch(request, paused=True)

    def resume(self, request: HttpRequest) -> HttpResponse:
        """Let it go on."""
        return self._switch(request, paused=False)

    def _switch(self, request: HttpRequest, *, paused: bool) -> HttpResponse:
        change, word = (breaker.pause, "paused") if paused else (breaker.resume, "resumed")
        if change(request.user.get_username()):
            self.log_change(request, Provider.objects.get(name=DEFAULT), word)
            self.message_user(request, f"Dispatch is {word}.", messages.SUCCESS)
        else:
            self.message_user(request, f"Dispatch was {word} already.", messages.WARNING)
        return redirect("admin:index")


@admin.register(Errand)
class ErrandAdmin(ReadOnly):
    """What people asked for on many mails, and how far it is."""

    list_display = ["created_at", "action", "actor", "show_progress", "changed", "reason"]
    ordering = ["-pk"]
    sortable_by = ()
    fields = ["action", "actor", "reason", "include_unknown", "created_at", "touched_at", "finished_at"]

    def has_view_permission(self, request: HttpRequest, obj: Errand | None = None) -> bool:
        """Whoever may ask for one may see what became of it."""
        asks = (f"outbox.{name}_intent" for name in ("resend", "replay", "cancel"))
        return super().has_view_permission(request, obj) or any(map(request.user.has_perm, asks))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Errand]:
        """Without the ids, which may be many."""
        return super().get_queryset(request).defer("ids")  # type: ignore[no-any-return]

    @display(description="progress", label={"finished": "success"})
    def show_progress(self, errand: Errand) -> str:
        """How much of it is done."""
        return "finished" if errand.finished_at else f"{errand.done:,} of {errand.total:,}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Errand | None = None, **kwargs: Any
    ) -> HttpResponse:
        """The page of one errand, with its progress."""
        return super().render_change_form(request, {**context, "errand": obj}, *args, obj=obj, **kwargs)  # type: ignore[no-any-return]
