"""Celery's door to the pruner."""

from celery import shared_task

from auth_api import pruner


@shared_task(name="auth_api.prune", ignore_result=True)
def prune() -> None:
    """Delete what no longer counts."""
    pruner.prune()
