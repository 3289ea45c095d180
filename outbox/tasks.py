"""Celery tasks: arguments to values, one call. The sender is put together here, once per process."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from multiprocessing.sharedctypes import RawValue
from uuid import UUID

from celery import Task, shared_task
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from outbox import breaker, conf, dispatcher, transport
from outbox.lanes import Lanes
from outbox.sender import Sender
from outbox.transitions import Claim

TICK_EXPIRES_S = 30  # a tick that waited longer says nothing that the next does not, and claims are lost by then
# Shared with the pool's processes by fork. Without a lock, which a process killed while it holds it would never free.
_stopping = RawValue("b", 0)


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    """Celery's main process was told to end: the pool's begin nothing new and finish what is in flight."""
    _stopping.value = 1


@shared_task(name="outbox.dispatch", expires=TICK_EXPIRES_S, ignore_result=True)
def dispatch() -> None:
    """Claim what is due and hand it over to send tasks."""
    dispatcher.tick(_hand_over, _hand_over_probe)


@shared_task(name="outbox.send", expires=TICK_EXPIRES_S, ignore_result=True)
def send(claims: Sequence[tuple[int, str]] = (), alone: bool = False) -> None:
    """Begin these claims, [id, token] each, and go on for one slice with what is due; `alone` is for one by itself.

    Without claims it is a nudge: something may be due.
    """
    held = [Claim(int(intent_id), UUID(token), alone) for intent_id, token in claims]
    sender_of(os.getpid()).work(held, stopped=lambda: bool(_stopping.value))


@shared_task(name="outbox.probe", expires=TICK_EXPIRES_S, ignore_result=True)
def probe() -> None:
    """Try to connect to the provider without a mail, and tell the breaker."""
    breaker.probed(transport.build().probe())


def _hand_over(claims: Sequence[Claim]) -> None:
    _published(send, [[claim.intent_id, str(claim.token)] for claim in claims], claims[0].alone)


def _hand_over_probe() -> None:
    try:
        _published(probe)
    except OSError:
        probe()  # no broker to carry it: it takes seconds, and nothing else could be dispatched meanwhile


def _published(task: Task, *args: object) -> None:
    """Publish without retries.

    Raises:
        OSError: the broker did not take it, or did not say so.
    """
    try:
        task.apply_async(args=args)
    except (BrokerError, RedisError) as error:  # a full Redis answers, with an error of its own
        raise OSError(str(error)) from error


@cache
def sender_of(pid: int) -> Sender:
    """The sender of this process; the id keeps a forked child from using its parent's lanes."""
    return build_sender(f"{socket.gethostname()}:{pid}")


def build_sender(worker: str, *, overdue: timedelta = timedelta()) -> Sender:
    """A sender with lanes of its own."""
    settings = conf.outbox()
    return Sender(settings, Lanes(transport.build, settings.lanes), worker[:100], overdue=overdue)
