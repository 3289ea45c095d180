"""Runs the standby until SIGTERM or Ctrl-C."""

import os
import signal
import socket
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand

from outbox import conf, transport
from outbox.standby import Standby
from outbox.tasks import build_sender


class Command(BaseCommand):
    help = "Sends what the Celery path leaves lying; needs PostgreSQL alone. Runs until SIGTERM or Ctrl-C."

    def handle(self, **options: Any) -> None:
        settings = conf.outbox()
        sender = build_sender(f"standby {socket.gethostname()}:{os.getpid()}", overdue=settings.standby_after)
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"standby: sends what has been due for {settings.standby_after.total_seconds():g} s")
        Standby(settings, sender, transport.build().probe).run(stop)
