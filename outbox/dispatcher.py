"""Claims due intents and hands the claims over. Who carries them is the caller's affair."""

from collections.abc import Callable, Sequence

from django.db import transaction

from outbox import breaker, conf, events, rescuer, sql, transitions, turn
from outbox.transitions import Claim

HandOver = Callable[[Sequence[Claim]], None]


def tick(hand_over: HandOver, hand_over_probe: Callable[[], None]) -> int:
    """Claim and hand over, sweep, send a probe when it is due; how many claims were handed over.

    What is due goes first, for somebody waits for it; what a sweep took back goes after it.
    """
    due = claim_ready()
    done = _hand_over_all(due, hand_over)
    breaker.stamp_tick()
    if rescuer.sweep() and done == len(due):
        done += _hand_over_all(claim_ready(), hand_over)
    if breaker.take_probe():
        hand_over_probe()
    return done


def claim_ready() -> list[Claim]:
    """Claim what is due, up to what may wait in the broker unbegun."""
    settings = conf.outbox()
    if (
        not settings.rate
        and (quick := turn.claim_ready(settings.ready, settings.lease, provider=breaker.DEFAULT)) is not None
    ):
        return quick
    with transaction.atomic():
        _, waiting = sql.rows(sql.HELD)[0]
        allowed = breaker.allowance(settings.ready - waiting, rate=settings.rate)
        claims = transitions.claim(allowed, settings.lease)
        breaker.spend(len(claims), rate=settings.rate)
    return claims


def _hand_over_all(claims: list[Claim], hand_over: HandOver) -> int:
    done, batches = 0, _batches(claims, conf.outbox().lanes)
    try:
        for batch in batches:
            hand_over(batch)
            done += len(batch)
    except OSError as error:
        # The broker is away: somebody else may send these at once. What it took without telling us is fenced off.
        transitions.give_back([claim for batch in batches for claim in batch][done:])
        events.announce(events.not_handed_over, claims=len(claims) - done, error=str(error))
    if done:
        events.announce(events.handed_over, claims=done)
    return done


def _batches(claims: Sequence[Claim], size: int) -> list[Sequence[Claim]]:
    """Small batches; a mail that goes alone is one of its own."""
    solo: list[Sequence[Claim]] = [[claim] for claim in claims if claim.alone]
    rest = [claim for claim in claims if not claim.alone]
    return solo + [rest[start : start + size] for start in range(0, len(rest), size)]
