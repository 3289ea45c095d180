"""Works through what a person asked for on many intents: batch by batch, each with its progress in one transaction."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from outbox import intents
from outbox.errors import OutboxError
from outbox.models import Errand, Intent

MOST = 100_000  # more than that wants a narrower filter, or replay_failures
_BATCH = 200
_STALE = timedelta(minutes=1)  # whoever worked on it is gone, or the broker lost the task


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How many intents a batch changed; `finished` says that none are left, `skipped` counts the others by reason."""

    changed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    finished: bool = False


def begin(
    action: str,
    ids: Sequence[int],
    *,
    actor: str,
    reason: str = "",
    include_unknown: bool = False,
    form: UUID | None = None,
) -> tuple[Errand, bool]:
    """Write down what was asked, and `step` does it; False beside the errand that this form began before.

    Raises:
        ValueError: no intents, or more than MOST.
    """
    if not 0 < len(ids) <= MOST:
        raise ValueError(f"an errand is about 1 to {MOST} intents")
    asked = {"action": action, "ids": ids, "total": len(ids), "include_unknown": include_unknown}
    said = {"actor": actor[:254], "reason": reason[:200]}
    return Errand.objects.get_or_create(form=form or uuid4(), defaults={**asked, **said})


def step(errand_id: int) -> Step:
    """Do the next batch; finished too when somebody else is at it just now. Safe twice at once, and interrupted."""
    with transaction.atomic():
        mine = Errand.objects.select_for_update(skip_locked=True).filter(pk=errand_id, finished_at__isnull=True)
        errand = mine.defer("ids").first()
        if errand is None:
            return Step(finished=True)
        ids = Errand.objects.values_list(F(f"ids__{errand.done}_{errand.done + _BATCH}"), flat=True).get(pk=errand_id)
        done = _ACTIONS[errand.action](errand, ids)
        finished = errand.done + len(ids) >= errand.total
        _note(errand, done, len(ids))
    return Step(changed=done.changed, skipped=done.skipped, finished=finished)


def stale() -> list[int]:
    """Errands that nobody has worked on for a minute."""
    unfinished = Errand.objects.filter(finished_at__isnull=True, touched_at__lt=Now() - _STALE)
    return list(unfinished.order_by("touched_at").values_list("pk", flat=True))


def _note(errand: Errand, done: Step, looked_at: int) -> None:
    skipped = Counter(errand.skipped)
    skipped.update(done.skipped)
    Errand.objects.filter(pk=errand.pk).update(
        done=F("done") + looked_at,
        changed=F("changed") + done.changed,
        skipped=dict(skipped),
        touched_at=Now(),
        finished_at=Case(When(total=F("done") + looked_at, then=Now()), default=Value(None)),
    )


def _replay(errand: Errand, ids: Sequence[int]) -> Step:
    unknown: set[int] = set()
    if not errand.include_unknown:
        unknown = set(Intent.objects.filter(pk__in=ids, maybe_sent=True).values_list("pk", flat=True))
    meant = [each for each in ids if each not in unknown]
    reason = f"replayed: {errand.reason}" if errand.reason else "replayed"
    replayed = intents.replay(meant, actor=errand.actor, reason=reason)
    skipped = Counter(replayed.skipped)
    if unknown:
        skipped["it may have arrived"] = len(unknown)
    return Step(changed=replayed.replayed, skipped=skipped)


def _cancel(errand: Errand, ids: Sequence[int]) -> Step:
    return _one_by_one(ids, lambda intent: intents.cancel(intent, reason=_why(errand), actor=errand.actor))


def _resend(errand: Errand, ids: Sequence[int]) -> Step:
    return _one_by_one(ids, lambda intent: intents.resend(intent, actor=errand.actor, reason=errand.reason))


def _one_by_one(ids: Sequence[int], act: Callable[[Intent], object]) -> Step:
    """Each raises before it writes, so what is refused leaves no trace."""
    found, changed, skipped = Intent.objects.in_bulk(ids), 0, Counter[str]()
    for each in ids:
        try:
            if each in found:
                act(found[each])
                changed += 1
            else:
                skipped["it is gone"] += 1
        except OutboxError as error:
            skipped[str(error)] += 1
    return Step(changed=changed, skipped=skipped)


def _why(errand: Errand) -> str:
    return errand.reason or "cancelled by a person"


_ACTIONS: dict[str, Callable[[Errand, Sequence[int]], Step]] = {
    "replay": _replay,
    "cancel": _cancel,
    "resend": _resend,
}
