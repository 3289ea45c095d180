"""A mail to a sink every few minutes: only one that arrives proves that all the others can."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from outbox import intents
from outbox.addresses import normalised
from outbox.kinds import RAW
from outbox.models import Intent
from outbox.states import OPEN

_TEXT = "Nobody needs to read this: it only shows that mail flows. Its absence is what raises the alarm.\n"


def enqueue() -> Intent | None:
    """Enqueue one to CANARY_TO; None when the last is still under way, so that an outage does not pile them up."""
    with transaction.atomic():
        waiting = Intent.objects.filter(recipient=normalised(settings.CANARY_TO), kind=RAW.name, state__in=OPEN)
        if waiting.exists():
            return None
        [intent] = intents.enqueue_message(EmailMessage("Canary", _TEXT, to=[settings.CANARY_TO]))
        return intent
