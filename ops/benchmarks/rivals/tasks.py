"""The naive way: a task per mail that renders and sends."""

from celery import shared_task

from ops.benchmarks.rivals import welcome


@shared_task(name="rivals.send")
def send(to: str, name: str) -> None:
    """Send one mail."""
    welcome.build(to, name).send()
