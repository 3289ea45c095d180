"""Steps that tests of the breaker share."""

from uuid import uuid4

from outbox import breaker
from outbox.circuit import Result
from tests.database.outbox_steps import SECOND

OPEN = {"opened_at": -SECOND, "probe_at": 4 * SECOND, "reason": "Connection refused"}


def result(outcome, intent_id=1, *, excused=False):
    return Result(intent_id=intent_id, token=uuid4(), outcome=outcome, excused=excused)


def see(*outcomes):
    """Let the breaker see these ends of different intents, one round each; how the last one counted."""
    for number, outcome in enumerate(outcomes, 1):
        seen = breaker.see([result(outcome, number)])
    return seen.results[0].outcome


def is_open():
    return breaker.gate().circuit.is_open
