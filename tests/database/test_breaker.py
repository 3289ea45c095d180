"""The breaker's row: what opens it, what is excused while it is suspected, and who probes."""

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import transaction
from django.db.models import F

from outbox import breaker
from outbox.models import Provider
from outbox.outcomes import Phase
from tests.database.auth_steps import at_once
from tests.database.breaker_steps import OPEN, is_open, result, see
from tests.database.outbox_steps import (
    NOTHING,
    SECOND,
    deferred,
    delivered,
    provider,
    refused,
    unavailable,
    unknown,
)

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


# The gate


def test_a_provider_that_nobody_has_met_is_open_to_all():
    gate = breaker.gate()

    assert (gate.shut, gate.paused, gate.circuit.is_open, gate.circuit.window) == (False, False, False, None)
    assert gate.circuit.wait == 5 * SECOND
    assert Provider.objects.get().name == "default"


@pytest.mark.parametrize(
    ("columns", "shut"),
    [({}, False), (OPEN, True), ({"paused_at": NOTHING}, True), ({"window": 1}, False)],
    ids=["fresh", "open", "paused", "starting slowly"],
)
def test_nothing_passes_an_open_breaker_or_a_pause(columns, shut):
    provider(**columns)

    assert breaker.gate().shut is shut
    assert breaker.may_begin(7) == (0 if shut else 1 if columns else 7)
    assert breaker.allowance(7) == (0 if shut else 1 if columns else 7)


@own_transactions
def test_callers_that_meet_the_provider_at_once_make_one_row():
    at_once(4, lambda _: breaker.gate())

    assert Provider.objects.count() == 1


# What opens it


def test_a_provider_that_is_away_opens_it_and_the_reason_is_kept():
    counted = see(unavailable("[Errno 111] Connection refused"))

    row = Provider.objects.get()
    assert counted == unavailable("[Errno 111] Connection refused")
    assert row.reason == "[Errno 111] Connection refused"
    assert row.opened_at is not None
    assert Provider.objects.filter(probe_at__lte=Now() + 6 * SECOND, probe_at__gte=Now() + 5 * SECOND).exists()
    assert row.wait == 10 * SECOND


@pytest.mark.parametrize(("ago", "opens"), [(9 * SECOND, False), (11 * SECOND, True)])
def test_trouble_while_somebody_delivers_does_not_open_it(ago, opens):
    provider(delivered_at=-ago)
    see(unavailable())

    assert is_open() is opens


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.AUTH])
def test_a_connection_refused_while_others_deliver_is_told_as_a_limit_of_connections(phase):
    provider(delivered_at=-SECOND)
    limited, fine = result(unavailable(phase=phase)), result(delivered())

    assert breaker.see([limited, fine]).limited == frozenset({limited.token})


@pytest.mark.parametrize("phase", [Phase.ENVELOPE, Phase.DATA])
def test_trouble_on_a_connection_that_stands_is_no_limit_of_connections(phase):
    provider(delivered_at=-SECOND)

    assert breaker.see([result(unavailable(phase=phase))]).limited == frozenset()


def test_nobody_is_limited_by_a_breaker_that_opens():
    assert breaker.see([result(unavailable())]).limited == frozenset()
    assert is_open()


def test_a_delivered_in_the_same_round_keeps_it_closed():
    breaker.see([result(unavailable(), 1), result(delivered(), 2)])

    assert not is_open()


@pytest.mark.parametrize("lost", [refused, deferred, unknown])
def test_ten_mails_in_a_row_that_were_not_accepted_open_it(lost):
    see(*[lost("5.7.1 account suspended")] * 9)
    assert not is_open()

    breaker.see([result(lost("5.7.1 account suspended"), 10)])
    assert is_open()
    assert Provider.objects.get().reason == "10 mails in a row were not accepted: 5.7.1 account suspended"


def test_ten_in_one_round_open_it_too():
    breaker.see([result(refused(), number) for number in range(10)])

    assert is_open()


def test_the_same_mail_lost_again_and_again_counts_once():
    for _ in range(12):
        breaker.see([result(deferred(), 1)])

    assert not is_open()


def test_a_delivered_forgets_the_losses_before_it():
    see(*[refused()] * 9, delivered(), *[refused()] * 9)

    assert not is_open()


def test_an_open_breaker_stays_as_it_was_opened():
    provider(**OPEN, wait=10 * SECOND)
    before = Provider.objects.values()[0]
    see(unavailable("another reason"))

    assert Provider.objects.values()[0] == before


@own_transactions
def test_of_processes_that_open_it_at_once_one_is_heard(heard):
    provider()

    def see_it(_):
        with transaction.atomic():
            breaker.see([result(unavailable())])

    at_once(4, see_it)

    assert heard.of("breaker_opened") == [{"provider": "default", "reason": "Connection refused"}]
    assert Provider.objects.get().wait == 10 * SECOND


# The stamp of a Delivered


@pytest.mark.parametrize(("ago", "stamped"), [(SECOND / 2, False), (1.5 * SECOND, True)])
def test_a_delivered_is_stamped_at_most_once_a_second(ago, stamped):
    before = provider(delivered_at=-ago).delivered_at
    see(delivered())

    assert (Provider.objects.get().delivered_at != before) is stamped


def test_what_only_costs_time_stamps_nothing():
    provider()
    see(refused())

    assert Provider.objects.get().delivered_at is None


# Excuses


@pytest.mark.parametrize("columns", [{"window": 4}, OPEN], ids=["starting slowly", "open"])
@pytest.mark.parametrize("lost", [deferred(), refused()], ids=["deferred", "refused"])
def test_a_loss_while_the_provider_is_suspected_is_blamed_on_it_once(lost, columns):
    provider(**columns)
    [excused] = breaker.see([result(lost)]).results
    [counted] = breaker.see([result(lost, excused=True)]).results

    assert excused.outcome == unavailable(lost.reply.text, phase=lost.phase).__class__(
        phase=lost.phase, reply=lost.reply, wait=60 * SECOND
    )
    assert counted.outcome == lost


@pytest.mark.parametrize("outcome", [unknown(), delivered()], ids=["unknown", "delivered"])
def test_what_may_be_out_is_never_excused(outcome):
    provider(window=1)

    assert see(outcome) == outcome


def test_a_loss_at_full_speed_is_the_mails_own():
    provider()

    assert see(refused()) == refused()


# The probe


@pytest.mark.parametrize(
    ("columns", "taken"),
    [({}, False), ({**OPEN, "probe_at": SECOND}, False), ({**OPEN, "probe_at": -SECOND}, True)],
    ids=["closed", "not due", "due"],
)
def test_a_probe_is_taken_when_it_is_due(columns, taken):
    provider(**columns, wait=10 * SECOND)

    assert breaker.take_probe() is taken
    assert breaker.take_probe() is False


def test_a_probe_that_dies_with_its_taker_is_due_again_after_the_same_wait():
    provider(**{**OPEN, "probe_at": -SECOND}, wait=20 * SECOND)
    breaker.take_probe()

    assert Provider.objects.filter(probe_at__gte=Now() + 20 * SECOND, probe_at__lte=Now() + 21 * SECOND).exists()


@own_transactions
def test_a_due_probe_is_taken_by_exactly_one():
    provider(**{**OPEN, "probe_at": -SECOND}, wait=10 * SECOND)

    assert sorted(at_once(6, lambda _: breaker.take_probe())) == [False] * 5 + [True]


@own_transactions
def test_a_probe_that_fails_makes_the_next_wait_longer_up_to_a_minute(heard):
    see(unavailable())

    waits = []
    for _ in range(5):
        before = Provider.objects.get()
        breaker.probed(unavailable("still away"))
        after = Provider.objects.get()
        waits.append((before.wait, after.wait))
        assert Provider.objects.filter(probe_at__gte=Now() + before.wait - SECOND).exists()

    assert [last for last, _ in waits] == [10 * SECOND, 20 * SECOND, 40 * SECOND, 60 * SECOND, 60 * SECOND]
    assert Provider.objects.get().reason == "still away"
    assert [facts["passed"] for facts in heard.of("breaker_probed")] == [False] * 5


@own_transactions
def test_a_probe_that_passes_starts_slowly_and_keeps_the_wait_until_a_mail_is_delivered(heard):
    see(*[refused()] * 10)
    breaker.probed(None)

    row = Provider.objects.get()
    assert (row.opened_at, row.probe_at, row.window, row.window_delivered) == (None, None, 1, 0)
    assert (row.reason, row.losers, row.wait) == ("", [], 10 * SECOND)
    assert [facts["passed"] for facts in heard.of("breaker_probed")] == [True]
    see(delivered())
    assert Provider.objects.get().wait == 5 * SECOND


@pytest.mark.parametrize("found", [None, unavailable()], ids=["passed", "failed"])
def test_a_probe_of_a_closed_breaker_changes_nothing(found):
    provider(window=4)
    before = Provider.objects.values()[0]
    breaker.probed(found)

    assert Provider.objects.values()[0] == before


def test_the_breaker_that_opens_again_before_a_delivered_waits_longer():
    see(unavailable())
    breaker.probed(None)
    see(unavailable())

    row = Provider.objects.get()
    assert row.wait == 20 * SECOND
    assert Provider.objects.filter(probe_at__gte=F("opened_at") + 10 * SECOND - SECOND / 10).exists()
