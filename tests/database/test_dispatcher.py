"""A tick: sweep, probe, claim what is due up to what may wait, hand over."""

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from kombu.exceptions import OperationalError as BrokerError
from redis import ConnectionError as RedisAway
from redis import OutOfMemoryError

from outbox import dispatcher, tasks, transitions
from outbox.models import Intent, Provider
from outbox.states import State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import MINUTE, NOTHING, SECOND, columns, in_state, provider, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


class Broker:
    """What was handed over; away from the n-th batch on."""

    def __init__(self, away_from=None):
        self.batches, self.probes, self._away_from = [], 0, away_from

    def tick(self):
        return dispatcher.tick(self._hand_over, self._hand_over_probe)

    @property
    def sizes(self):
        return [len(batch) for batch in self.batches]

    @property
    def ids(self):
        return [claim.intent_id for batch in self.batches for claim in batch]

    def _hand_over(self, claims):
        if self._away_from is not None and len(self.batches) >= self._away_from:
            raise ConnectionRefusedError("connection refused")
        self.batches.append(list(claims))

    def _hand_over_probe(self):
        self.probes += 1


def test_a_tick_claims_what_is_due_and_hands_it_over_in_small_batches(outbox_settings):
    outbox_settings(LANES=4)
    due = [make_intent(due_in=-MINUTE).pk for _ in range(10)]
    make_intent(due_in=MINUTE)
    broker = Broker()

    assert broker.tick() == 10
    assert broker.sizes == [4, 4, 2]
    assert sorted(broker.ids) == due
    assert states() == [*["claimed"] * 10, "pending"]


def test_the_most_urgent_are_handed_over_first(outbox_settings):
    outbox_settings(LANES=2)
    made = {priority: make_intent(priority=priority, due_in=-(3 - priority) * MINUTE).pk for priority in (2, 0, 1)}
    broker = Broker()
    broker.tick()

    assert broker.ids == [made[0], made[1], made[2]]


def test_what_goes_alone_is_a_batch_of_its_own():
    alone = [make_intent(alone=True).pk for _ in range(2)]
    for _ in range(3):
        make_intent()
    broker = Broker()
    broker.tick()

    assert broker.sizes == [1, 1, 3]
    assert broker.ids[:2] == alone
    assert [claim.alone for claim in broker.batches[0]] == [True]


@pytest.mark.parametrize(
    ("waiting", "sending", "handed_over"), [(0, 0, 8), (5, 0, 3), (8, 0, 0), (9, 0, 0), (0, 20, 8)]
)
def test_only_so_many_claims_may_wait_in_the_broker_unbegun(waiting, sending, handed_over, outbox_settings):
    outbox_settings(READY=8)
    for state, count in [(State.CLAIMED, waiting), (State.SENDING, sending), (State.PENDING, 12)]:
        for _ in range(count):
            make_intent(state)

    assert Broker().tick() == handed_over
    assert in_state(State.PENDING) == 12 - handed_over


@own_transactions
def test_what_could_not_be_handed_over_is_given_back_at_once(outbox_settings, heard):
    outbox_settings(LANES=4)
    for _ in range(10):
        make_intent(due_in=-MINUTE)
    before = {intent.pk: columns(intent) for intent in Intent.objects.all()}
    broker = Broker(away_from=1)

    assert broker.tick() == 4
    assert (in_state(State.CLAIMED), in_state(State.PENDING)) == (4, 6)
    back = Intent.objects.filter(state="pending")
    assert {intent.pk: columns(intent) for intent in back} == {pk: before[pk] for pk in before if pk not in broker.ids}
    assert heard.of("not_handed_over") == [{"claims": 6, "error": "connection refused"}]
    assert heard.of("handed_over") == [{"claims": 4}]


def test_what_goes_alone_is_handed_over_first_and_so_is_not_among_what_is_given_back():
    for _ in range(3):
        make_intent(due_in=-MINUTE)
    alone = make_intent(alone=True)
    broker = Broker(away_from=1)

    assert broker.tick() == 1
    assert broker.ids == [alone.pk]
    assert states() == [*["pending"] * 3, "claimed"]


@own_transactions
@pytest.mark.parametrize("error", [BrokerError("refused"), RedisAway("refused"), OutOfMemoryError("full")], ids=str)
def test_a_broker_that_refuses_leaves_every_mail_pending(error, monkeypatch):
    def refuse(**_):
        raise error

    monkeypatch.setattr(tasks.send, "apply_async", refuse)
    make_intent()
    tasks.dispatch()

    assert states() == ["pending"]


@own_transactions
def test_a_task_is_told_ids_and_tokens_and_whether_its_mail_goes_alone(monkeypatch):
    published = []
    monkeypatch.setattr(tasks.send, "apply_async", lambda *, args: published.append(args))
    alone, first, second = make_intent(alone=True), make_intent(due_in=-SECOND), make_intent()
    tasks.dispatch()

    token = {intent.pk: str(intent.lease_token) for intent in Intent.objects.all()}
    assert published == [
        ([[alone.pk, token[alone.pk]]], True),
        ([[first.pk, token[first.pk]], [second.pk, token[second.pk]]], False),
    ]


@own_transactions
def test_a_probe_that_no_broker_carries_is_made_at_once(monkeypatch, smtp):
    def refuse(**_):
        raise RedisAway("refused")

    monkeypatch.setattr(tasks.probe, "apply_async", refuse)
    monkeypatch.setattr(tasks.send, "apply_async", refuse)
    provider(opened_at=-MINUTE, probe_at=-SECOND, wait=5 * SECOND)
    tasks.dispatch()

    row = Provider.objects.get()
    assert (row.opened_at, row.window) == (None, 1)
    assert smtp.record.messages == []


@pytest.mark.parametrize("columns_", [{"paused_at": -SECOND}, {"opened_at": -SECOND, "probe_at": MINUTE}])
def test_nothing_is_claimed_at_a_pause_or_an_open_breaker(columns_):
    provider(**columns_)
    make_intent()

    assert Broker().tick() == 0
    assert states() == ["pending"]


def test_a_probe_that_is_due_is_handed_over_once_and_no_mail_with_it():
    provider(opened_at=-MINUTE, probe_at=-SECOND, wait=5 * SECOND)
    make_intent()
    broker = Broker()
    broker.tick()
    broker.tick()

    assert (broker.probes, broker.batches) == (1, [])


@own_transactions
def test_of_ticks_at_once_one_hands_the_probe_over():
    provider(opened_at=-MINUTE, probe_at=-SECOND, wait=5 * SECOND)
    brokers = [Broker() for _ in range(4)]
    at_once(4, lambda number: brokers[number].tick())

    assert sum(broker.probes for broker in brokers) == 1


@own_transactions
def test_of_ticks_at_once_none_hands_over_what_another_has():
    for _ in range(40):
        make_intent()
    brokers = [Broker() for _ in range(4)]
    at_once(4, lambda number: brokers[number].tick())

    ids = [each for broker in brokers for each in broker.ids]
    assert len(ids) == len(set(ids)) == 40


def test_a_tick_expires_and_rescues_before_it_claims(outbox_settings):
    outbox_settings(LEASE=SECOND)
    make_intent(expires_in=NOTHING)
    lost = make_intent(State.CLAIMED, lease_for=-SECOND)
    broker = Broker()
    broker.tick()

    assert states() == ["expired", "claimed"]
    assert broker.ids == [lost.pk]


def test_every_tick_claims_though_nobody_sweeps_twice_within_a_second():
    provider(swept_at=NOTHING)
    make_intent(expires_in=NOTHING)
    make_intent()
    broker = Broker()

    assert broker.tick() == 1
    assert states() == ["pending", "claimed"]


def test_a_tick_leaves_its_stamp_though_there_is_nothing_to_do():
    assert Broker().tick() == 0
    assert Provider.objects.filter(ticked_at__gte=Now()).exists()


@pytest.mark.parametrize(("rate", "first"), [(5, 5), (100, 20)])
def test_a_tick_spends_the_rate_limit_on_what_it_claims(rate, first, outbox_settings):
    outbox_settings(RATE=rate)
    for _ in range(20):
        make_intent()
    provider(rate_at=-MINUTE)

    assert Broker().tick() == first
    assert Broker().tick() == 0
    assert Provider.objects.filter(rate_at__isnull=False).exists()


def test_a_tick_claims_no_more_than_the_window_of_a_slow_start():
    provider(window=2)
    make_intent(State.SENDING)
    for _ in range(5):
        make_intent()

    assert Broker().tick() == 1


def test_claims_that_are_given_back_leave_room_for_others(outbox_settings):
    outbox_settings(READY=2)
    for _ in range(4):
        make_intent()
    broker = Broker()
    broker.tick()
    transitions.give_back(broker.batches[0])

    assert broker.tick() == 2


@own_transactions
def test_the_task_of_a_probe_tells_the_breaker(smtp):
    provider(opened_at=-MINUTE, probe_at=MINUTE, wait=5 * SECOND)
    smtp.stop()
    tasks.probe()
    assert Provider.objects.get().opened_at is not None

    smtp.start()
    tasks.probe()
    assert Provider.objects.get().opened_at is None
