"""Celery tasks: arguments to values, one call. The sender is put together here, once per process."""

import os
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from multiprocessing.sharedctypes import RawValue
from uuid import UUID

from celery import Task, shared_task
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from outbox import breaker, canary, conf, dispatcher, errands, pruner, rollup, transport
from outbox.lanes import Lanes
from outbox.sender import Sender
from outbox.transitions import Claim

_PRUNE_FOR = timedelta(seconds=30)  # then other tasks of the queue get their turn
_ERRAND_SLICE_S = 2
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


@shared_task(name="outbox.prune", ignore_result=True)
def prune() -> None:
    """Delete what is past its retention, a while at a time."""
    rollup.prune()
    if not pruner.prune(_PRUNE_FOR).finished:
        _published(prune)


@shared_task(name="outbox.roll_up", expires=TICK_EXPIRES_S, ignore_result=True)
def roll_up() -> None:
    """Count the minutes that are over."""
    rollup.catch_up()


@shared_task(name="outbox.canary", expires=TICK_EXPIRES_S, ignore_result=True)
def send_canary() -> None:
    """Enqueue a canary, unless one is under way."""
    canary.enqueue()


@shared_task(name="outbox.run_errand", ignore_result=True)
def run_errand(errand_id: int) -> None:
    """Work on what a person asked for, a while at a time."""
    ends = time.monotonic() + _ERRAND_SLICE_S
    while not errands.step(errand_id).finished:
        if time.monotonic() > ends:
            _published(run_errand, errand_id)
            return


@shared_task(name="outbox.resume_errands", expires=TICK_EXPIRES_S, ignore_result=True)
def resume_errands() -> None:
    """Start again what lost its worker or its message."""
    for errand_id in errands.stale():
        _published(run_errand, errand_id)


def start_errand(errand_id: int) -> bool:
    """Ask a worker to do it; False when the broker is away, and beat will ask once it is back."""
    try:
        _published(run_errand, errand_id)
    except OSError:
        return False
    return True


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
