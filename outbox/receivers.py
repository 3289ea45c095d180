"""Events to log lines, and a nudge when something was enqueued. Log fields are names, never an address or a token."""

from typing import Any

import structlog
from django.dispatch import Signal, receiver

from outbox import events
from outbox.addresses import masked
from outbox.nudge import nudge

log = structlog.get_logger("outbox")

_LEVELS = {
    events.enqueued: ("intent_enqueued", "info"),
    events.attempt_ended: ("attempt_ended", "info"),
    events.lease_lost: ("lease_lost", "warning"),
    events.delivered_late: ("delivered_late", "warning"),
    events.rescued: ("intent_rescued", "warning"),
    events.expired: ("intent_expired", "warning"),
    events.cancelled: ("intents_cancelled", "info"),
    events.replayed: ("intents_replayed", "info"),
    events.breaker_opened: ("breaker_opened", "error"),
    events.breaker_probed: ("breaker_probed", "warning"),
    events.paused: ("dispatch_paused", "warning"),
    events.resumed: ("dispatch_resumed", "warning"),
    events.handed_over: ("claims_handed_over", "info"),
    events.not_handed_over: ("claims_not_handed_over", "warning"),
    events.lanes_lowered: ("lanes_lowered", "warning"),
    events.broke: ("outbox_broke", "error"),
}


def _write(event: Signal, facts: dict[str, Any]) -> None:
    name, level = _LEVELS[event]
    shown = {**facts.pop("trace", {})}  # by the request's id one search finds all that became of it
    shown |= {key: str(value) for key, value in facts.items() if key != "recipient" and value is not None}
    if "recipient" in facts:
        shown["recipient"] = masked(facts["recipient"])
    getattr(log, level)(name, **shown)


@receiver(list(_LEVELS), dispatch_uid="outbox.log")
def _log(*, signal: Signal, sender: object, **facts: Any) -> None:
    _write(signal, facts)


@receiver(events.enqueued, dispatch_uid="outbox.nudge")
def _nudge(**_: Any) -> None:
    nudge()
