"""Read-only tables with actions that go through the same door as everything else."""

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from outbox import intents, kinds
from outbox.addresses import masked, normalised
from outbox.admin_previews import PreviewAdmin
from outbox.errors import BadAddress, OutboxError
from outbox.models import Attempt, Intent, Provider

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


class AttemptInline(TabularInline):  # type: ignore[misc]
    """The history of an intent, as a part of its page."""

    model = Attempt
    extra = 0
    can_delete = False
    fields = ["number", "started_at", "ended_at", "phase", "outcome", "code", "enhanced", "text", "worker"]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Attempts are written by senders."""
        return False


@admin.register(Intent)
class IntentAdmin(PreviewAdmin, ReadOnly):
    """Find one person's mail, look at it, read what happened to it, resend or cancel it."""

    list_display = [
        "show_state",
        "kind",
        "show_recipient",
        "language",
        "attempts",
        "created_at",
        "due_at",
        "reason",
    ]
    list_display_links = ["show_state", "kind"]
    list_filter = ["state", "kind", "language", "priority", "created_at"]
    search_fields = ["task_id"]  # shows the box; get_search_results decides
    search_help_text = "A whole address, a task id or a Message-ID"
    ordering = ["-pk"]
    show_full_result_count = False
    readonly_fields = ["show_mail"]
    inlines = [AttemptInline]
    actions = ["resend", "cancel"]

    @display(description="state", ordering="state", label=_COLOURS)
    def show_state(self, intent: Intent) -> str:
        """The state as a badge."""
        return intent.state

    @admin.display(description="recipient")
    def show_recipient(self, intent: Intent) -> str:
        """The address as a list may show it."""
        return masked(intent.recipient)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Intent], search_term: str
    ) -> tuple[QuerySet[Intent], bool]:
        """Exact searches only: each uses an index, whatever the size of the table."""
        term = search_term.strip()
        return (queryset.filter(_lookup(term)) if term else queryset), False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whether this person may resend."""
        return request.user.has_perm("outbox.resend_intent")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this person may cancel."""
        return request.user.has_perm("outbox.cancel_intent")

    @admin.action(description="Resend as a linked copy", permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: QuerySet[Intent]) -> None:
        """Enqueue a copy of each closed mail."""
        self._each(request, queryset, "resent", self._resend_one)

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Intent]) -> None:
        """Cancel each mail that is not under way."""
        self._each(request, queryset, "cancelled", self._cancel_one)

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Intent], done: str, act: Callable[[HttpRequest, Intent], None]
    ) -> None:
        """Do it for each selected mail in a transaction of its own, and say how many it was refused for and why."""
        count, refused = 0, set()
        for intent in queryset:
            try:
                with transaction.atomic():
                    act(request, intent)
                    self.log_change(request, intent, done)
                count += 1
            except OutboxError as error:
                refused.add(str(error))
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)
        for reason in sorted(refused):
            self.message_user(request, f"Not {done}: {reason}.", messages.WARNING)

    def _resend_one(self, request: HttpRequest, intent: Intent) -> None:
        intents.resend(intent, actor=request.user.get_username(), reason="from the admin")

    def _cancel_one(self, request: HttpRequest, intent: Intent) -> None:
        intents.cancel(intent, reason="from the admin", actor=request.user.get_username())


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
    """The breaker, the pause and the last tick, to look at."""

    list_display = ["name", "opened_at", "reason", "probe_at", "window", "paused_at", "ticked_at"]
