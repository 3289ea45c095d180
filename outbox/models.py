"""Tables: columns, constraints and indexes. No rules: transitions.py and breaker.py are the only writers."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from outbox.kinds import RAW, Priority
from outbox.states import CLOSED, HELD, OPEN, State

_HELD, _OPEN, _CLOSED = (sorted(states) for states in (HELD, OPEN, CLOSED))
_RARE = [State.CANCELLED, State.EXPIRED]  # a list of these would walk past a million sent mails


class Intent(models.Model):
    """One mail that is to be sent to one envelope recipient, committed with the change it tells about."""

    task_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=64)
    recipient = models.CharField(max_length=254)
    language = models.CharField(max_length=16)
    context = models.JSONField(default=dict)
    payload = models.BinaryField(null=True, blank=True, editable=False)  # a finished message, sealed; its kind is RAW
    owner = models.CharField(max_length=64, blank=True, default="")  # a user's key as text; "" is the address's
    dedupe_key = models.CharField(max_length=200, null=True, blank=True)
    message_id = models.CharField(max_length=255)
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority])
    repeatable = models.BooleanField(default=True)
    is_sample = models.BooleanField(default=False)  # sent to try the path out: its kind's sample context is rendered

    state = models.CharField(max_length=9, choices=[(s.value, s.value) for s in State], default=State.PENDING)
    created_at = models.DateTimeField(db_default=Now())
    scheduled_at = models.DateTimeField(db_default=Now())  # when it was first due; latency counts from here
    due_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")  # why it is where it is: the last reply, or a person's words

    attempts = models.PositiveIntegerField(default=0)
    spent = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    begun_at = models.DateTimeField(null=True, blank=True)
    data_begun = models.BooleanField(default=False)  # of a mail that must not be repeated: DATA may be on the wire
    maybe_sent = models.BooleanField(default=False)  # an earlier attempt ended without an answer
    alone = models.BooleanField(default=False)  # its last attempt took its worker with it
    excused = models.BooleanField(default=False)  # once blamed on the provider instead of on itself

    resent_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="copies", db_index=False
    )
    actor = models.CharField(max_length=254, blank=True, default="")  # who asked for this copy, cancel or replay
    trace = models.JSONField(default=dict, db_default={}, blank=True, editable=False)  # the request that asked for it

    class Meta:
        """Constraints refuse what states.py does not know; each index names the query it serves."""

        constraints = [
            models.CheckConstraint(name="intent_state_known", condition=Q(state__in=sorted(State))),
            models.CheckConstraint(  # a lease exists exactly while somebody holds the intent
                name="intent_lease_iff_held",
                condition=Q(state__in=_HELD, lease_token__isnull=False, lease_until__isnull=False)
                | (~Q(state__in=_HELD) & Q(lease_token__isnull=True, lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="intent_begun_iff_sending",
                condition=Q(state=State.SENDING, begun_at__isnull=False)
                | (~Q(state=State.SENDING) & Q(begun_at__isnull=True, data_begun=False)),
            ),
            models.CheckConstraint(
                name="intent_closed_at_iff_closed",
                condition=Q(state__in=_CLOSED, closed_at__isnull=False) | Q(state__in=_OPEN, closed_at__isnull=True),
            ),
            models.CheckConstraint(name="intent_spent_within_attempts", condition=Q(spent__lte=F("attempts"))),
            models.CheckConstraint(  # expired means provably not sent
                name="intent_expired_never_sent", condition=~Q(state=State.EXPIRED, maybe_sent=True)
            ),
            models.UniqueConstraint(
                name="intent_dedupe_key_while_open", fields=["dedupe_key"], condition=Q(state__in=_OPEN)
            ),
        ]
        indexes = [
            models.Index(name="intent_claim", fields=["priority", "due_at"], condition=Q(state=State.PENDING)),
            models.Index(name="intent_rescue", fields=["lease_until"], condition=Q(state__in=_HELD)),
            models.Index(  # so small that no statistics, however old, lead the planner elsewhere
                name="intent_urgent", fields=["due_at"], condition=Q(state=State.CLAIMED, priority=0)
            ),
            models.Index(  # by its second condition of no use to a claim, whatever the planner thinks of its size
                name="intent_expiry", fields=["expires_at"], condition=Q(state__in=_OPEN, closed_at__isnull=True)
            ),
            models.Index(name="intent_prune", fields=["closed_at"], condition=Q(state__in=_CLOSED)),
            models.Index(name="intent_dead", fields=["closed_at"], condition=Q(state=State.DEAD)),
            models.Index(name="intent_recipient", fields=["recipient"]),
            models.Index(name="intent_message_id", fields=["message_id"], condition=Q(kind=RAW.name)),
            models.Index(name="intent_list_kind", fields=["kind", "-id"]),
            models.Index(name="intent_list_rare", fields=["state", "-id"], condition=Q(state__in=_RARE)),
            models.Index(name="intent_copies", fields=["resent_from"], condition=Q(resent_from__isnull=False)),
        ]
        permissions = [
            ("resend_intent", "Can resend a closed mail"),
            ("cancel_intent", "Can cancel a mail that is not under way"),
            ("replay_intent", "Can replay a dead letter"),
        ]

    def __str__(self) -> str:
        """Its kind and id; never an address."""
        return f"{self.kind} {self.task_id}"


class Attempt(models.Model):
    """One try that has ended; written when it ended, by its sender or, for the dead, by the rescuer."""

    intent = models.ForeignKey(Intent, on_delete=models.CASCADE, related_name="history", db_index=False)
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    phase = models.CharField(max_length=8)
    outcome = models.CharField(max_length=11)
    code = models.SmallIntegerField(null=True, blank=True)
    enhanced = models.CharField(max_length=12, blank=True, default="")
    text = models.TextField(blank=True, default="")
    worker = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        """Numbers are unique within an intent; the constraint's index finds an intent's history."""

        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(name="attempt_number", fields=["intent", "number"]),
            models.CheckConstraint(name="attempt_number_from_1", condition=Q(number__gte=1)),
            models.CheckConstraint(name="attempt_ends_after_start", condition=Q(ended_at__gte=F("started_at"))),
        ]
        indexes = [models.Index(name="attempt_roll_up", fields=["ended_at"])]

    def __str__(self) -> str:
        """Its number and outcome."""
        return f"{self.number}: {self.outcome}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended_at - self.started_at).total_seconds()


class Provider(models.Model):
    """What all processes know of one provider: breaker, slow start, pause, rate and the last sweep."""

    name = models.CharField(max_length=50, primary_key=True)
    opened_at = models.DateTimeField(null=True, blank=True)  # empty while the breaker is closed
    reason = models.TextField(blank=True, default="")
    wait = models.DurationField(null=True, blank=True)  # what the next opening waits before its probe
    probe_at = models.DateTimeField(null=True, blank=True)
    window = models.PositiveIntegerField(null=True, blank=True)  # slow start: rows held at most
    window_delivered = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    losers = models.JSONField(default=list)  # intents tried since the last Delivered
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=254, blank=True, default="")
    rate_at = models.DateTimeField(null=True, blank=True)  # when all that was taken under the rate limit is paid for
    ticked_at = models.DateTimeField(null=True, blank=True)
    swept_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """An open breaker always knows its next probe."""

        constraints = [
            models.CheckConstraint(
                name="provider_probe_iff_open",
                condition=Q(opened_at__isnull=True, probe_at__isnull=True)
                | Q(opened_at__isnull=False, probe_at__isnull=False),
            )
        ]
        permissions = [("pause_provider", "Can pause and resume dispatch")]

    def __str__(self) -> str:
        """Its name."""
        return self.name


class Minute(models.Model):
    """How many attempts ended in one minute, by kind and outcome, and how many mails died; written by rollup.py."""

    minute = models.DateTimeField()
    kind = models.CharField(max_length=64)
    outcome = models.CharField(max_length=11)
    count = models.PositiveIntegerField()
    seconds = models.FloatField()  # of the delivered: the sum of their latencies
    buckets = ArrayField(models.PositiveIntegerField())  # of the delivered: how many in each of histogram.BOUNDS

    class Meta:
        """A minute is counted once; the constraint's index finds a stretch of time."""

        constraints = [models.UniqueConstraint(name="minute_once", fields=["minute", "kind", "outcome"])]

    def __str__(self) -> str:
        """What it counts."""
        return f"{self.minute:%Y-%m-%d %H:%M} {self.kind} {self.outcome}"


class Total(models.Model):
    """The sum of all minutes there ever were, by kind and outcome: counters that never fall."""

    kind = models.CharField(max_length=64)
    outcome = models.CharField(max_length=11)
    count = models.BigIntegerField()
    seconds = models.FloatField()
    buckets = ArrayField(models.BigIntegerField())

    class Meta:
        """One row for each."""

        constraints = [models.UniqueConstraint(name="total_once", fields=["kind", "outcome"])]

    def __str__(self) -> str:
        """What it counts."""
        return f"{self.kind} {self.outcome}"


class Errand(models.Model):
    """One action that a person asked for on many intents; errands.py works through it in batches."""

    action = models.CharField(max_length=6, choices=[(name, name) for name in ("resend", "replay", "cancel")])
    ids = ArrayField(models.BigIntegerField())  # of the intents as they were found when the person confirmed
    form = models.UUIDField(default=uuid.uuid4, editable=False)  # of the page that asked: sent twice, it is one errand
    include_unknown = models.BooleanField(default=False)  # replay: also what may have arrived
    reason = models.CharField(max_length=200, blank=True, default="")
    actor = models.CharField(max_length=254)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)  # how many of the ids were looked at; the next batch begins here
    changed = models.PositiveIntegerField(default=0)
    skipped = models.JSONField(default=dict)  # how many, by reason
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """What is not finished is found without a scan; a double click begins nothing twice."""

        indexes = [
            models.Index(name="errand_unfinished", fields=["touched_at"], condition=Q(finished_at__isnull=True)),
        ]
        constraints = [
            models.UniqueConstraint(name="errand_once", fields=["form"]),
            models.CheckConstraint(
                name="errand_done_iff_finished",
                condition=Q(done=F("total"), finished_at__isnull=False)
                | Q(done__lt=F("total"), finished_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        """What it does, and to how many."""
        return f"{self.action} {self.total}"
