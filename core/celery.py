"""The Celery app, and the one place where every process loads Django: a bad setting ends it in one sentence."""

import logging.config
import os
import sys
from typing import Any

import django
from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging, task_prerun
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections
from kombu.connection import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
try:
    django.setup()
except ImproperlyConfigured as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(3)  # gunicorn gives up at a worker that ends with 3, and restarts one that ends with 1 for ever

_LONGEST_RECONNECT_S = 2  # between tries to reach a broker that is away; kombu's own waits grow to 30 s


class _Connection(Connection):
    """Comes back soon after the broker does, whatever the length of the outage."""

    def _ensure_connection(self, *args: Any, **options: Any) -> object:
        bounds = {"interval_start": 1, "interval_step": 1, "interval_max": _LONGEST_RECONNECT_S}
        return super()._ensure_connection(*args, **{**options, **bounds})


class PromptAMQP(AMQP):
    """Makes connections that reconnect promptly."""

    Connection = _Connection


app = Celery("core", amqp=PromptAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
# RedBeat looks for its settings under their bare names and would fall back to the broker's.
app.conf.update({name.lower(): getattr(settings, name) for name in dir(settings) if name.startswith("REDBEAT_")})
app.autodiscover_tasks()


@task_prerun.connect
def _check_database(**_: Any) -> None:
    """Keep the connection from task to task, as Django does from request to request, unless it is dead or too old."""
    close_old_connections()


@setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    """Keep Celery from replacing the project's logging by its own."""
    logging.config.dictConfig(settings.LOGGING)
