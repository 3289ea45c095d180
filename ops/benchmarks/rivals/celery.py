"""The Celery app of the naive task and of django-celery-email."""

import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops.benchmarks.rivals.settings")
django.setup()

app = Celery("rivals")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.imports = ("ops.benchmarks.rivals.tasks",)
