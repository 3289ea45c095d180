"""When dispatch stops, how it starts again, and whom a failure is blamed on."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.circuit import Circuit, Result, record
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

AWAY = Unavailable(phase=Phase.CONNECT, reply=Reply(text="connection refused"))
LOSSES = (Deferred, Refused, Unknown)
STARTING = Circuit(window=1)
OPEN = Circuit(is_open=True, reason="connection refused", wait=timedelta(seconds=10))


def result(outcome, intent=1, *, excused=False):
    ended = outcome if isinstance(outcome, Unavailable) else outcome(phase=Phase.DATA, reply=Reply(text="550 no"))
    return Result(intent_id=intent, token=UUID(int=intent), outcome=ended, excused=excused)


def losses(count, outcome=Refused, *, first=1):
    return [result(outcome, intent) for intent in range(first, first + count)]


def after(circuit, *results):
    """The circuit once these were recorded one after the other."""
    for one in results:
        circuit, _ = record(circuit, [one])
    return circuit


def counted(circuit, one):
    """As what the result counts."""
    _, [as_counted] = record(circuit, [one])
    return as_counted.outcome


# What opens


def test_unavailable_opens_when_nobody_delivers():
    circuit = after(Circuit(), result(AWAY))

    assert circuit.is_open
    assert circuit.reason == "connection refused"


def test_unavailable_does_not_open_while_others_deliver():
    assert not after(Circuit(delivering=True), result(AWAY)).is_open


@pytest.mark.parametrize(("phase", "opens"), [(Phase.CONNECT, False), (Phase.AUTH, False), (Phase.ENVELOPE, True)])
def test_no_connection_while_other_mails_of_this_process_talk_may_be_a_limit(phase, opens):
    one = result(Unavailable(phase=phase, reply=Reply(text="421 too many")))

    assert after(Circuit(talking=True), one).is_open is opens


def test_a_delivered_of_the_same_moment_counts_before_the_unavailable():
    circuit, _ = record(Circuit(), [result(AWAY, 1), result(Delivered, 2)])

    assert not circuit.is_open


def test_a_delivered_lets_the_next_unavailable_pass_as_a_limit_on_connections():
    assert not after(Circuit(), result(Delivered, 1), result(AWAY, 2)).is_open


@pytest.mark.parametrize("outcome", LOSSES)
def test_ten_losses_over_different_intents_open(outcome):
    circuit = after(Circuit(delivering=True), *losses(9, outcome))

    assert not circuit.is_open
    assert after(circuit, result(outcome, 10)).is_open


def test_the_reason_holds_the_last_words_of_the_provider():
    assert after(Circuit(), *losses(10)).reason == "10 mails in a row were not accepted: 550 no"


def test_losses_of_different_sorts_add_up():
    mixed = [result(LOSSES[intent % 3], intent) for intent in range(10)]

    assert after(Circuit(), *mixed).is_open


def test_one_mail_that_fails_again_and_again_does_not_open():
    assert not after(Circuit(), *[result(Deferred, 1)] * 100).is_open


def test_a_delivered_between_them_begins_the_count_anew():
    circuit = after(Circuit(), *losses(9), result(Delivered, 50), *losses(9, first=60))

    assert not circuit.is_open
    assert after(circuit, result(Refused, 99)).is_open


@pytest.mark.parametrize("outcome", [GivenBack, Broken, Void])
def test_what_is_our_own_doing_is_no_loss(outcome):
    assert after(Circuit(), *losses(30, outcome)) == Circuit()


def test_ten_losses_of_the_same_moment_open():
    circuit, _ = record(Circuit(), losses(10))

    assert circuit.is_open


def test_the_ten_that_open_are_counted_as_what_they_were():
    _, results = record(Circuit(), losses(10))

    assert [type(one.outcome) for one in results] == [Refused] * 10


def test_those_of_the_same_moment_after_the_tenth_are_blamed_on_the_provider():
    _, results = record(Circuit(), losses(12))

    assert [type(one.outcome) for one in results] == [Refused] * 10 + [Unavailable] * 2


# While it is open


@pytest.mark.parametrize("outcome", [Deferred, Refused])
def test_a_mail_still_in_flight_while_it_is_open_is_excused(outcome):
    assert counted(OPEN, result(outcome)) == Unavailable(
        phase=Phase.DATA, reply=Reply(text="550 no"), wait=timedelta(seconds=60)
    )


@pytest.mark.parametrize("one", [result(AWAY), result(Refused), result(Unknown), result(GivenBack)])
def test_what_fails_while_it_is_open_changes_nothing(one):
    assert after(OPEN, one) == OPEN


def test_a_delivered_while_it_is_open_proves_as_much_as_a_probe():
    circuit = after(OPEN, result(Delivered))

    assert not circuit.is_open
    assert circuit.window == 2
    assert circuit.reason == ""
    assert circuit.wait == timedelta(seconds=5)


# Slow start


def test_a_probe_that_got_through_lets_one_mail_through():
    circuit = OPEN.half_opened()

    assert not circuit.is_open
    assert circuit.window == 1
    assert circuit.reason == ""


@pytest.mark.parametrize(
    ("delivered", "window"),
    [
        (0, 1),
        (1, 2),
        (2, 2),
        (3, 4),
        (6, 4),
        (7, 8),
        (15, 16),
        (31, 32),
        (63, 64),
        (126, 64),
        (127, None),
        (500, None),
    ],
)
def test_each_window_of_delivered_doubles_the_window_until_it_holds_nobody_back(delivered, window):
    assert after(STARTING, *[result(Delivered)] * delivered).window == window


def test_unavailable_while_starting_slowly_opens_although_somebody_delivered():
    refused = Unavailable(phase=Phase.ENVELOPE, reply=Reply(text="550 not from you"))
    circuit = after(STARTING, result(Delivered), result(refused, 2))

    assert circuit.is_open
    assert circuit.window is None


def test_a_limit_on_connections_is_one_while_starting_slowly_too():
    circuit = after(STARTING, result(Delivered), result(AWAY, 2))

    assert not circuit.is_open
    assert circuit.window == 2


def test_the_first_unavailable_while_starting_slowly_opens():
    assert after(STARTING, result(AWAY)).is_open


@pytest.mark.parametrize("outcome", [Deferred, Refused])
def test_a_loss_while_starting_slowly_counts_as_unavailable_due_after_a_minute(outcome):
    assert counted(STARTING, result(outcome)) == Unavailable(
        phase=Phase.DATA, reply=Reply(text="550 no"), wait=timedelta(seconds=60)
    )


@pytest.mark.parametrize("outcome", [Deferred, Refused])
def test_a_mail_is_excused_once_only(outcome):
    assert isinstance(counted(STARTING, result(outcome, excused=True)), outcome)
    assert isinstance(counted(OPEN, result(outcome, excused=True)), outcome)


def test_an_unknown_is_never_excused_for_the_mail_may_be_out():
    assert isinstance(counted(STARTING, result(Unknown)), Unknown)


def test_a_loss_at_full_speed_is_not_excused():
    assert isinstance(counted(Circuit(delivering=True), result(Refused)), Refused)


def test_ten_losses_while_starting_slowly_open_again_excused_or_not():
    nine = [result(Refused, intent, excused=intent % 2 == 0) for intent in range(9)]

    circuit = after(STARTING, *nine)

    assert not circuit.is_open
    assert circuit.window == 1
    assert after(circuit, result(Refused, 9)).is_open


def test_a_loss_while_starting_slowly_does_not_widen_the_window():
    assert after(Circuit(window=4, window_delivered=3), result(Refused)).window_delivered == 3


# Waits


def test_the_waits_between_openings_double_to_a_minute():
    waits, circuit = [], Circuit()
    for _ in range(6):
        waits.append(circuit.wait.total_seconds())
        circuit = Circuit(wait=circuit.next_wait())

    assert waits == [5, 10, 20, 40, 60, 60]


def test_neither_opening_nor_a_probe_that_got_through_resets_the_wait():
    waited = Circuit(wait=timedelta(seconds=40))

    assert after(waited, result(AWAY)).wait == timedelta(seconds=40)
    assert after(waited, result(AWAY)).half_opened().wait == timedelta(seconds=40)


@pytest.mark.parametrize("outcome", [Deferred, Refused, Unknown, GivenBack, Broken, Void])
def test_nothing_but_a_delivered_resets_the_wait(outcome):
    waited = Circuit(wait=timedelta(seconds=40), window=2)

    assert after(waited, result(outcome)).wait == timedelta(seconds=40)
    assert after(waited, result(Delivered)).wait == timedelta(seconds=5)


RESULTS = st.builds(
    result,
    st.sampled_from([Delivered, Deferred, Refused, Unknown, GivenBack, Broken, Void, AWAY]),
    st.integers(1, 40),
    excused=st.booleans(),
)


@given(st.sampled_from([Circuit(), STARTING, OPEN]), st.lists(RESULTS, max_size=60))
def test_whatever_happens_the_circuit_stays_one_that_the_row_can_hold(circuit, results):
    circuit, as_counted = record(circuit, results)

    assert circuit.window in {None, 1, 2, 4, 8, 16, 32, 64}
    assert circuit.window is None or 0 <= circuit.window_delivered < circuit.window
    assert len(circuit.losers) < 10
    assert not circuit.is_open or (circuit.window is None and circuit.losers == ())
    assert {one.token for one in as_counted} == {one.token for one in results}


@given(st.sampled_from([Circuit(), STARTING, OPEN]), st.lists(RESULTS, max_size=60))
def test_only_losses_that_were_not_excused_before_ever_count_as_something_else(circuit, results):
    given_outcomes = sorted(results, key=lambda one: not isinstance(one.outcome, Delivered))
    _, as_counted = record(circuit, results)

    for before, now in zip(given_outcomes, as_counted, strict=True):
        may_change = isinstance(before.outcome, Deferred | Refused) and not before.excused
        assert now.outcome == before.outcome or (may_change and isinstance(now.outcome, Unavailable))


# Connected, and yet turned away


@pytest.mark.parametrize("circuit", [Circuit(), Circuit(delivering=True), STARTING, OPEN])
def test_a_mail_that_was_turned_away_after_connecting_lets_others_go_first(circuit):
    refused = Unavailable(phase=Phase.ENVELOPE, reply=Reply(text="550 5.7.1 sender not verified"))

    assert counted(circuit, result(refused)).wait == timedelta(seconds=60)
    assert counted(circuit, result(AWAY)).wait == timedelta()
