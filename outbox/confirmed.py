"""Asks before an action on intents is done, with the number first; then does it, or has a worker do it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from outbox import errands, tasks
from outbox.models import Errand, Intent

_DIGITS = 19  # of a bigint
AT_ONCE = 100  # more than that is a worker's task

_DONE = {"resend": "resent", "replay": "replayed", "cancel": "cancelled"}
_EXPLAINED = {
    "resend": "Each closed mail is enqueued once more, as a copy with its own Message-ID that is linked to it.",
    "replay": "Each dead letter is due again at once, with a fresh count of tries, unless its lifetime is over.",
    "cancel": "Each mail that is not under way is closed and never sent.",
}


@dataclass(frozen=True, slots=True)
class _Yes:
    """What a person confirmed: so many mails at most, up to this one, by this form."""

    upto: int
    number: int
    form: UUID

    @classmethod
    def of(cls, request: HttpRequest) -> Self | None:
        """None when nothing was confirmed, or not by a page of ours."""
        upto, number, form = (request.POST.get(name, "") for name in ("confirmed", "number", "form"))
        try:
            return cls(int(upto), int(number), UUID(form)) if _are_numbers(upto, number) else None
        except ValueError:
            return None


def _are_numbers(*texts: str) -> bool:
    return all(text.isdecimal() and len(text) < _DIGITS for text in texts)


def act(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Intent], action: str) -> HttpResponse | None:
    """Show what would be done; once the person confirmed it, do it. None leads back to the list."""
    meant, yes = queryset.order_by("pk"), _Yes.of(request)
    if yes:  # what came since the number was shown is not meant
        if errand := _before(yes):
            return _led_to(errand)
        meant = meant.filter(pk__lte=yes.upto)
    found = list(meant.values_list("pk", "state")[: errands.MOST + 1])
    if len(found) > errands.MOST:
        said = f"That is more than {errands.MOST:,} mails: filter them further, or use the command replay_failures."
        model_admin.message_user(request, said, messages.ERROR)
        return None
    if yes and len(found) > yes.number:  # some came to fit the filter, as what died meanwhile
        said = f"{len(found):,} mails fit by now, and {yes.number:,} were shown: look again."
        model_admin.message_user(request, said, messages.WARNING)
    elif yes and found:
        return _begin(model_admin, request, [pk for pk, _ in found], action, yes)
    return _asked(model_admin, request, found, action)


def _before(yes: _Yes) -> Errand | None:
    """What the same form began before: a double click, or a page that was sent again."""
    return Errand.objects.only("pk").filter(form=yes.form).first()


def _asked(model_admin: ModelAdmin, request: HttpRequest, found: list[tuple[int, str]], action: str) -> HttpResponse:
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": f"{action.capitalize()} {len(found):,} mails?" if len(found) != 1 else f"{action.capitalize()} it?",
        "opts": Intent._meta,
        "action": action,
        "explained": _EXPLAINED[action],
        "number": len(found),
        "states": Counter(state for _, state in found).most_common(),
        "form": uuid4(),
        "upto": found[-1][0] if found else 0,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/outbox/intent/confirm.html", context)


def _begin(model_admin: ModelAdmin, request: HttpRequest, ids: list[int], action: str, yes: _Yes) -> HttpResponse:
    errand, is_new = errands.begin(
        action,
        ids,
        actor=request.user.get_username(),
        reason=request.POST.get("reason", "").strip(),
        include_unknown="include_unknown" in request.POST,
        form=yes.form,
    )
    if not is_new:
        return _led_to(errand)
    model_admin.log_addition(request, errand, f"{action} {errand.total} mails: {errand.reason}")
    if errand.total > AT_ONCE:
        if not tasks.start_errand(errand.pk):
            model_admin.message_user(request, "Redis is away: it begins once that is back.", messages.WARNING)
        return _led_to(errand)
    while not errands.step(errand.pk).finished:
        pass
    errand.refresh_from_db(fields=["changed", "skipped"])
    return _told(model_admin, request, errand, ids)


def _led_to(errand: Errand) -> HttpResponse:
    return redirect("admin:outbox_errand_change", errand.pk)


def _told(model_admin: ModelAdmin, request: HttpRequest, errand: Errand, ids: list[int]) -> HttpResponse:
    """Say what happened; each mail has an entry in its own history, if all of them were changed."""
    done = _DONE[errand.action]
    if errand.changed:
        model_admin.message_user(request, f"{errand.changed} {done}.", messages.SUCCESS)
    for reason, number in errand.skipped.items():
        model_admin.message_user(request, f"{number} not {done}: {reason}.", messages.WARNING)
    if errand.changed == len(ids):
        for intent in Intent.objects.only("pk", "kind", "task_id").filter(pk__in=ids):
            model_admin.log_change(request, intent, f"{done}: {errand.reason}")
    if len(ids) == 1:
        return redirect("admin:outbox_intent_change", ids[0])
    return redirect(request.get_full_path())  # the list, filtered as it was
