"""The only writer of a provider's row: open, probe, close, pause, resume, rate, and the stamps of tick and sweep."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from outbox import events, sql
from outbox.circuit import CONNECTING, FIRST_WAIT, Circuit, Result, record
from outbox.models import Provider
from outbox.outcomes import Delivered, Outcome, Reply, Unavailable

DEFAULT = "default"
_SWEEP_EVERY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a claim and a begin look at: the circuit, the pause, and whether the Delivered stamp is due."""

    circuit: Circuit
    paused: bool
    stamp_due: bool

    @property
    def shut(self) -> bool:
        """Nothing may be claimed or begun."""
        return self.paused or self.circuit.is_open


def gate(*, lock: bool = False) -> Gate:
    """The provider as it stands; `lock` holds its row until the transaction ends."""
    statement = sql.GATE_LOCKED if lock else sql.GATE
    found = sql.records(statement, {"name": DEFAULT})
    if not found:
        Provider.objects.bulk_create([Provider(name=DEFAULT)], ignore_conflicts=True)
        return gate(lock=lock)
    row = found[0]
    circuit = Circuit(
        is_open=row["is_open"],
        delivering=row["delivering"],
        reason=row["reason"],
        wait=row["wait"] or FIRST_WAIT,
        window=row["window"],
        window_delivered=row["window_delivered"],
        losers=tuple(json.loads(row["losers"])),
    )
    return Gate(circuit=circuit, paused=row["paused"], stamp_due=row["stamp_due"])


def allowance(wanted: int, *, rate: float = 0) -> int:
    """How many rows may be claimed now. Under a rate or a window the row stays locked until the claim commits."""
    now = gate()
    if now.shut or wanted <= 0:
        return 0
    if now.circuit.window is None and not rate:
        return wanted
    now = gate(lock=True)
    if now.shut:
        return 0
    if now.circuit.window is not None:
        held, _ = sql.rows(sql.HELD)[0]
        wanted = min(wanted, now.circuit.window - held)
    return max(0, min(wanted, _affordable(rate)) if rate else wanted)


def _affordable(rate: float) -> int:
    return int(sql.rows(sql.AFFORDABLE, {"name": DEFAULT, "rate": rate, "burst": max(rate, 1)})[0][0])


def spend(claimed: int, *, rate: float) -> None:
    """Take what was claimed from the rate limit; call it in the transaction that asked for the allowance."""
    if rate and claimed:
        sql.rows(sql.SPEND, {"name": DEFAULT, "rate": rate, "burst": max(rate, 1), "claimed": claimed})


def may_begin(wanted: int) -> int:
    """How many claims may be begun now; the rest is to be given back."""
    now = gate()
    if now.shut:
        return 0
    if now.circuit.window is None:
        return wanted
    now = gate(lock=True)
    held, waiting = sql.rows(sql.HELD)[0]
    window = now.circuit.window
    return 0 if now.shut else wanted if window is None else max(0, min(wanted, window - (held - waiting)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The results as they count; `limited` are the tokens refused a connection while others deliver."""

    results: Sequence[Result]
    limited: frozenset[UUID] = frozenset()


def see(results: Sequence[Result], *, talking: bool = False) -> Seen:
    """Let the breaker see how attempts ended, in the transaction that closes them; `talking` as in Circuit."""
    now = gate()
    quiet = not now.circuit.is_open and now.circuit.window is None and not now.circuit.losers
    if quiet and all(isinstance(result.outcome, Delivered) for result in results):
        if results and now.stamp_due:
            Provider.objects.filter(name=DEFAULT).update(delivered_at=Now())
        return Seen(results=results)
    return _see_locked(results, talking=talking)


def _see_locked(results: Sequence[Result], *, talking: bool) -> Seen:
    before = replace(gate(lock=True).circuit, talking=talking)
    after, counted = record(before, results)
    changes: dict[str, object] = {
        "window": after.window,
        "window_delivered": after.window_delivered,
        "losers": list(after.losers),
        "wait": after.wait,
    }
    if any(isinstance(result.outcome, Delivered) for result in counted):
        changes["delivered_at"] = Now()
    if after.is_open and not before.is_open:
        changes |= _opening(after)
    if before.is_open and not after.is_open:
        changes |= {"opened_at": None, "probe_at": None, "reason": ""}
        events.announce(events.breaker_probed, provider=DEFAULT, passed=True, reason="a mail was delivered")
    if after != before or "delivered_at" in changes:
        Provider.objects.filter(name=DEFAULT).update(**changes)
    return Seen(results=counted, limited=frozenset() if after.is_open else _refused_connection(results))


def _refused_connection(results: Sequence[Result]) -> frozenset[UUID]:
    return frozenset(
        result.token
        for result in results
        if isinstance(result.outcome, Unavailable) and result.outcome.phase in CONNECTING
    )


def _opening(circuit: Circuit) -> dict[str, object]:
    events.announce(events.breaker_opened, provider=DEFAULT, reason=circuit.reason)
    return {
        "opened_at": Now(),
        "probe_at": Now() + circuit.wait,
        "wait": circuit.next_wait(),
        "reason": circuit.reason,
    }


def take_probe() -> bool:
    """Whether the probe is due and ours; if we die with it, the next is due after the same wait again."""
    due = Provider.objects.filter(name=DEFAULT, opened_at__isnull=False, probe_at__lte=Now())
    return due.update(probe_at=Now() + F("wait")) == 1


def probed(outcome: Outcome | None) -> None:
    """Take in what a probe found; None is a connection that worked."""
    if outcome is None:
        probe_passed()
    else:
        probe_failed(outcome.reply)


def probe_passed() -> None:
    """The provider answers again: start slowly."""
    with transaction.atomic():
        circuit = gate(lock=True).circuit
        if not circuit.is_open:
            return
        started = circuit.half_opened()
        Provider.objects.filter(name=DEFAULT).update(
            opened_at=None, probe_at=None, reason="", window=started.window, window_delivered=0, losers=[]
        )
        events.announce(events.breaker_probed, provider=DEFAULT, passed=True, reason="")


def probe_failed(reply: Reply) -> None:
    """Still away: the next probe waits longer."""
    with transaction.atomic():
        circuit = gate(lock=True).circuit
        if circuit.is_open:
            Provider.objects.filter(name=DEFAULT).update(
                probe_at=Now() + circuit.wait, wait=circuit.next_wait(), reason=reply.text
            )
            events.announce(events.breaker_probed, provider=DEFAULT, passed=False, reason=reply.text)


def pause(actor: str) -> bool:
    """Stop dispatch until somebody resumes it; False when it was paused already."""
    gate()
    with transaction.atomic():
        running = Provider.objects.filter(name=DEFAULT, paused_at__isnull=True)
        if done := running.update(paused_at=Now(), paused_by=actor) == 1:
            events.announce(events.paused, provider=DEFAULT, actor=actor)
    return done


def resume(actor: str) -> bool:
    """Let dispatch go on; False when it was not paused."""
    with transaction.atomic():
        paused = Provider.objects.filter(name=DEFAULT, paused_at__isnull=False)
        if done := paused.update(paused_at=None, paused_by="") == 1:
            events.announce(events.resumed, provider=DEFAULT, actor=actor)
    return done


def stamp_tick() -> None:
    """Remember that a tick came."""
    gate()
    Provider.objects.filter(name=DEFAULT).update(ticked_at=Now())


def take_sweep() -> bool:
    """Whether expiry and rescue are due: at most once a second in the whole cluster."""
    rested = Q(swept_at__isnull=True) | Q(swept_at__lte=Now() - _SWEEP_EVERY)
    return Provider.objects.filter(rested, name=DEFAULT).update(swept_at=Now()) == 1
