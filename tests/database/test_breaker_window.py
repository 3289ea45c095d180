"""How much passes the breaker: the window of a slow start, the rate limit, a pause."""

from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import transaction
from django.db.models import F

from outbox import breaker
from outbox.models import Provider
from outbox.outcomes import Phase
from outbox.states import State
from tests.database.auth_steps import at_once
from tests.database.breaker_steps import OPEN, is_open, see
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    delivered,
    provider,
    unavailable,
)
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


# Slow start


def test_the_window_doubles_with_each_window_of_delivered_until_it_is_past():
    provider(window=1)
    widths = []
    for _ in range(127):
        widths.append(Provider.objects.get().window)
        see(delivered())

    expected = [*[1], *[2] * 2, *[4] * 4, *[8] * 8, *[16] * 16, *[32] * 32, *[64] * 64]
    assert widths == expected
    assert Provider.objects.get().window is None


def test_trouble_while_starting_slowly_opens_it_again_although_others_deliver():
    provider(window=8, delivered_at=-SECOND)
    see(unavailable(phase=Phase.ENVELOPE))

    row = Provider.objects.get()
    assert row.opened_at is not None
    assert row.window is None


def test_a_connection_refused_while_starting_slowly_and_delivering_does_not_open_it_again():
    provider(window=2, delivered_at=-SECOND)
    see(unavailable())

    row = Provider.objects.get()
    assert row.opened_at is None
    assert row.window == 2


@own_transactions
def test_a_mail_delivered_after_all_closes_it_as_a_probe_does(heard):
    provider(**OPEN)
    with transaction.atomic():
        see(delivered())

    row = Provider.objects.get()
    assert (row.opened_at, row.probe_at, row.reason, row.window) == (None, None, "", 2)
    assert [facts["passed"] for facts in heard.of("breaker_probed")] == [True]


@pytest.mark.parametrize(
    ("held", "claims", "begins"),
    [([], 4, 4), ([State.CLAIMED], 3, 4), ([State.SENDING] * 3, 1, 1), ([State.SENDING] * 3 + [State.CLAIMED], 0, 1)],
    ids=["none", "one claimed", "three sending", "full"],
)
def test_the_window_is_how_many_may_be_held(held, claims, begins):
    provider(window=4)
    for state in held:
        make_intent(state)

    assert breaker.allowance(10) == claims
    assert breaker.may_begin(10) == begins


def test_a_window_that_is_overfull_lets_nothing_through():
    provider(window=1)
    for _ in range(3):
        make_intent(State.SENDING)

    assert breaker.allowance(10) == 0
    assert breaker.may_begin(10) == 0


@pytest.mark.parametrize("wanted", [0, -3])
def test_who_wants_nothing_gets_nothing(wanted):
    assert breaker.allowance(wanted) == 0
    assert breaker.allowance(wanted, rate=5) == 0


# The rate limit


def spent(taken, rate):
    breaker.spend(taken, rate=rate)
    return breaker.allowance(1000, rate=rate)


def pass_time(seconds):
    """Time goes by for the rate limit alone."""
    Provider.objects.update(rate_at=F("rate_at") - timedelta(seconds=seconds))


def test_without_a_limit_nothing_is_counted():
    breaker.spend(1000, rate=0)

    assert breaker.allowance(1000) == 1000
    assert not Provider.objects.filter(rate_at__isnull=False).exists()


def test_after_a_rest_one_second_may_go_at_once_and_no_more():
    provider(rate_at=-MINUTE)

    assert breaker.allowance(1000, rate=20) == 20
    assert spent(15, rate=20) == 5
    assert spent(5, rate=20) == 0


def test_fewer_wanted_are_fewer_allowed():
    assert breaker.allowance(3, rate=20) == 3


@pytest.mark.parametrize(("rate", "most"), [(5, 105), (0.5, 11), (2.5, 52)])
def test_over_twenty_seconds_the_rate_is_kept_whoever_claims(rate, most):
    provider()
    sent = 0
    for _ in range(100):  # every 200 ms, as much as is allowed
        allowed = breaker.allowance(1000, rate=rate)
        breaker.spend(allowed, rate=rate)
        sent += allowed
        pass_time(0.2)

    assert most - 2 <= sent <= most


@own_transactions
def test_claimers_at_once_share_the_rate():
    provider()

    def claim(_):
        with transaction.atomic():
            allowed = breaker.allowance(8, rate=0.01)
            breaker.spend(allowed, rate=0.01)
            return allowed

    assert sorted(at_once(4, claim)) == [0, 0, 0, 1]


@own_transactions
def test_claimers_at_once_share_the_window():
    provider(window=2)

    def claim(_):
        with transaction.atomic():
            return len([make_intent(State.CLAIMED) for _ in range(breaker.allowance(8))])

    assert sum(at_once(4, claim)) == 2


# Pause and resume


@own_transactions
def test_a_pause_holds_until_somebody_resumes(heard):
    assert breaker.resume("ann@example.com") is False
    assert breaker.pause("ann@example.com") is True
    assert breaker.pause("bob@example.com") is False

    row = Provider.objects.get()
    assert (breaker.gate().shut, row.paused_by) == (True, "ann@example.com")
    assert breaker.resume("bob@example.com") is True
    row.refresh_from_db()
    assert (breaker.gate().shut, row.paused_at, row.paused_by) == (False, None, "")
    assert heard.of("paused") == [{"provider": "default", "actor": "ann@example.com"}]
    assert heard.of("resumed") == [{"provider": "default", "actor": "bob@example.com"}]


def test_a_pause_does_not_touch_the_breaker():
    provider(**OPEN)
    breaker.pause("ann@example.com")
    breaker.resume("ann@example.com")

    assert is_open()


def test_a_tick_leaves_its_stamp():
    breaker.stamp_tick()

    assert Provider.objects.filter(ticked_at__gte=Now()).exists()
