"""A mail to a sink every few minutes: only one that arrives proves that all the others can."""

from contextlib import suppress

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now

from outbox import intents
from outbox.addresses import normalised
from outbox.errors import NotAllowed
from outbox.kinds import RAW
from outbox.models import Intent
from outbox.states import OPEN

_TEXT = "Nobody needs to read this: it only shows that mail flows. Its absence is what raises the alarm.\n"


def enqueue() -> Intent | None:
    """Enqueue one to CANARY_TO instead of those that wait, so that an outage does not pile them up.

    None when the last was asked for less than half of CANARY_EVERY ago: by another beat.
    """
    with transaction.atomic():
        waiting = Intent.objects.filter(recipient=normalised(settings.CANARY_TO), kind=RAW.name, state__in=OPEN)
        if waiting.filter(created_at__gt=Now() - settings.CANARY_EVERY / 2).exists():
            return None
        for old in waiting:  # one whose next try is hours away says nothing of the mail of now
            with suppress(NotAllowed):  # it is being sent
                intents.cancel(old, reason="a newer canary followed")
        [intent] = intents.enqueue_message(EmailMessage("Canary", _TEXT, to=[settings.CANARY_TO]))
        return intent
