"""Django e-mail backend that records intents: what other apps send goes the same guarded way."""

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from outbox import intents
from outbox.errors import OutboxError


class EmailBackend(BaseEmailBackend):
    """One intent per recipient, in the caller's transaction; the message is encrypted at rest."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Enqueue the messages; how many. A bad one raises, or is left out with `fail_silently`."""
        return sum(self._enqueue(message) for message in email_messages)

    def _enqueue(self, message: EmailMessage) -> bool:
        try:
            with transaction.atomic():
                return bool(intents.enqueue_message(message))
        except (OutboxError, ValueError):  # Django raises BadHeaderError, a ValueError, for a line break in a header
            if not self.fail_silently:
                raise
            return False
