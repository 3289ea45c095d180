"""What follows an outcome, and how long the waits are."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_api.mails import RESET_CODE
from outbox.outcomes import (
    Broken,
    Deferred,
    Delivered,
    GivenBack,
    Phase,
    Refused,
    Reply,
    Unavailable,
    Unknown,
    Void,
)
from outbox.policy import Bury, Cancel, Finish, RetryAfter, RetryPolicy

SAID = Reply(text="4.2.0 later", code=450, enhanced="4.2.0")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def ended(outcome, **more):
    return outcome(phase=Phase.ENVELOPE, reply=SAID, **more)


def decide(outcome, *, spent=1, repeatable=True, policy=None):
    return (policy or RetryPolicy()).decide(outcome, spent=spent, spread=0.0, repeatable=repeatable)


@pytest.mark.parametrize(
    ("outcome", "spent", "decision"),
    [
        (ended(Delivered), 1, Finish()),
        (ended(Delivered), 99, Finish()),
        (ended(Refused), 1, Bury("4.2.0 later")),
        (ended(Broken), 1, Bury("4.2.0 later")),
        (ended(Void), 1, Cancel("4.2.0 later")),
        (ended(Unavailable), 1, RetryAfter(timedelta(), "4.2.0 later", spends=False)),
        (ended(Unavailable), 99, RetryAfter(timedelta(), "4.2.0 later", spends=False)),
        (ended(Unavailable, wait=MINUTE), 1, RetryAfter(MINUTE, "4.2.0 later", spends=False)),
        (ended(GivenBack), 99, RetryAfter(timedelta(), "4.2.0 later", spends=False)),
        (ended(GivenBack, wait=15 * SECOND), 1, RetryAfter(15 * SECOND, "4.2.0 later", spends=False)),
        (ended(Deferred), 1, RetryAfter(MINUTE, "4.2.0 later")),
        (ended(Deferred), 2, RetryAfter(10 * MINUTE, "4.2.0 later")),
        (ended(Deferred), 3, RetryAfter(100 * MINUTE, "4.2.0 later")),
        (ended(Deferred), 4, Bury("gave up after 4 tries: 4.2.0 later")),
        (ended(Deferred, hint=300 * SECOND), 1, RetryAfter(5 * MINUTE, "4.2.0 later")),
        (ended(Deferred, hint=300 * SECOND), 2, RetryAfter(10 * MINUTE, "4.2.0 later")),
        (ended(Deferred, hint=300 * SECOND), 4, Bury("gave up after 4 tries: 4.2.0 later")),
        (ended(Unknown), 1, RetryAfter(MINUTE, "4.2.0 later", maybe_sent=True)),
        (ended(Unknown), 4, Bury("gave up after 4 tries: 4.2.0 later", maybe_sent=True)),
    ],
)
def test_each_outcome_has_its_decision(outcome, spent, decision):
    assert decide(outcome, spent=spent) == decision


def test_an_unknown_of_a_mail_that_must_not_be_repeated_is_its_end():
    decision = decide(ended(Unknown), repeatable=False)

    assert decision == Bury("outcome unknown: 4.2.0 later", maybe_sent=True)


@pytest.mark.parametrize("outcome", [ended(Deferred), ended(Unavailable), ended(GivenBack)])
def test_a_mail_that_must_not_be_repeated_is_tried_again_while_it_surely_is_not_out(outcome):
    decision = decide(outcome, repeatable=False)

    assert isinstance(decision, RetryAfter)
    assert decision.maybe_sent is False


def test_without_retries_the_first_deferred_is_the_end():
    assert decide(ended(Deferred), policy=RetryPolicy(max_retries=0)) == Bury("gave up after 1 tries: 4.2.0 later")


@pytest.mark.parametrize(
    ("spent", "wait"),
    [(1, 15 * SECOND), (2, MINUTE), (3, 4 * MINUTE), (4, 16 * MINUTE), (5, 64 * MINUTE)],
)
def test_a_reset_code_is_tried_again_sooner_and_more_often(spent, wait):
    policy = RESET_CODE.retries

    assert decide(ended(Deferred), spent=spent, policy=policy) == RetryAfter(wait, "4.2.0 later")


def test_the_sixth_failure_of_a_reset_code_is_its_last():
    assert isinstance(decide(ended(Deferred), spent=6, policy=RESET_CODE.retries), Bury)


@pytest.mark.parametrize(
    ("spent", "spread", "wait"),
    [
        (1, -1.0, 54 * SECOND),
        (1, 1.0, 66 * SECOND),
        (2, 0.5, 630 * SECOND),
        (4, 0.0, 6 * HOUR),  # 1000 minutes without the ceiling
        (5, 0.0, 6 * HOUR),
        (1000, 0.0, 6 * HOUR),
    ],
)
def test_waits_grow_tenfold_to_six_hours_and_move_by_a_tenth(spent, spread, wait):
    assert RetryPolicy().backoff(spent, spread) == wait


POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 1000),
    base=st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=1)),
    factor=st.floats(1, 1e9),
    ceiling=st.timedeltas(min_value=timedelta(days=1), max_value=timedelta(days=3650)),
    jitter=st.floats(0, 1),
)
TRIES = st.integers(1, 10**9)
SPREADS = st.floats(-1, 1)
ROUNDING = timedelta(milliseconds=1)


@given(POLICIES, TRIES, SPREADS)
def test_no_wait_is_negative_or_overflows(policy, spent, spread):
    assert timedelta() <= policy.backoff(spent, spread) <= 2 * policy.ceiling + ROUNDING


@given(POLICIES, TRIES)
def test_without_jitter_waits_never_shrink_and_never_pass_the_ceiling(policy, spent):
    wait, next_wait = policy.backoff(spent, 0), policy.backoff(spent + 1, 0)

    assert policy.base - ROUNDING <= wait <= next_wait <= policy.ceiling


@given(POLICIES, TRIES, SPREADS)
def test_jitter_moves_a_wait_by_its_share_at_most(policy, spent, spread):
    plain, moved = policy.backoff(spent, 0), policy.backoff(spent, spread)

    assert abs(moved - plain) <= plain * policy.jitter + ROUNDING


@given(POLICIES, TRIES, SPREADS, st.timedeltas(min_value=timedelta(), max_value=timedelta(days=60)))
def test_a_retry_is_never_sooner_than_the_provider_asks(policy, spent, spread, hint):
    decision = policy.decide(ended(Deferred, hint=hint), spent=spent, spread=spread, repeatable=True)

    assert isinstance(decision, Bury) if spent > policy.max_retries else decision.wait >= hint
