"""Enqueueing: in the caller's transaction or not at all, and every mistake told to the caller."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import F

from auth_api import services
from auth_api.services import NewPerson
from outbox import intents
from outbox.errors import BadAddress, BadContext, NotInTransaction, UnknownKind
from outbox.intents import Request
from outbox.kinds import Priority
from outbox.models import Intent
from outbox.states import CLOSED, OPEN, State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import eventually, somebody_waits, states
from tests.factories import make_intent

ADDRESS = "layla@example.com"
NAMED = {"name": "Layla"}
own_transactions = pytest.mark.django_db(transaction=True)


def enqueue(**changes):
    return intents.enqueue(**{"kind": "welcome", "to": ADDRESS, "context": NAMED, **changes})


@pytest.mark.django_db
def test_an_intent_is_pending_and_due_at_once():
    told = enqueue(language="ar", owner="7")

    intent = Intent.objects.get()
    assert (intent.task_id, intent.pk) == (told.task_id, told.pk)
    assert (intent.kind, intent.recipient, intent.language, intent.owner) == ("welcome", ADDRESS, "ar", "7")
    assert (intent.context, intent.priority, intent.repeatable, intent.is_sample) == (NAMED, 1, True, False)
    assert (intent.state, intent.attempts, intent.spent, intent.reason) == ("pending", 0, 0, "")
    assert intent.due_at == intent.created_at == intent.scheduled_at
    assert intent.expires_at - intent.created_at == timedelta(days=3)
    assert intent.message_id == f"<{intent.task_id.hex}@localhost>"


@pytest.mark.django_db
def test_what_enqueue_returns_is_the_row_that_was_written():
    told = enqueue(dedupe_key="k")

    written = Intent.objects.get()
    names = [field.attname for field in Intent._meta.concrete_fields]
    assert {name: getattr(told, name) for name in names} == {name: getattr(written, name) for name in names}


@pytest.mark.django_db
def test_what_was_just_enqueued_can_be_cancelled():
    intents.cancel(enqueue(), reason="changed my mind")

    assert states() == ["cancelled"]


@pytest.mark.django_db
def test_the_kind_decides_priority_lifetime_and_whether_it_may_be_repeated(change_kind):
    change_kind("welcome", priority=Priority.BULK, lifetime=timedelta(hours=2), repeatable=False)
    enqueue()

    intent = Intent.objects.get()
    assert (intent.priority, intent.repeatable) == (2, False)
    assert intent.expires_at - intent.created_at == timedelta(hours=2)


@pytest.mark.django_db
def test_a_variable_with_a_default_is_filled_in(change_kind):
    change_kind(
        "welcome",
        variables=frozenset({"name", "plan"}),
        sample={"name": "Layla", "plan": "free"},
        defaults={"plan": "free"},
    )
    enqueue()

    assert Intent.objects.get().context == {"name": "Layla", "plan": "free"}


@pytest.mark.django_db
def test_an_address_is_stored_in_its_one_form():
    enqueue(to="Layla@Bücher.EXAMPLE")

    assert Intent.objects.get().recipient == "layla@xn--bcher-kva.example"


@pytest.mark.django_db
def test_the_owner_may_be_a_user():
    user = get_user_model().objects.create_user(email=ADDRESS, name="Layla")
    enqueue(owner=user)

    assert Intent.objects.get().owner == str(user.pk)


@own_transactions
def test_nothing_is_there_before_the_commit_and_nothing_is_announced(heard):
    with transaction.atomic():
        enqueue()
        [seen_by_others] = at_once(1, lambda _: Intent.objects.count())
        assert (seen_by_others, heard) == (0, [])

    assert at_once(1, lambda _: Intent.objects.count()) == [1]
    assert [event for event, _ in heard] == ["enqueued"]


@own_transactions
def test_a_raise_after_enqueue_leaves_neither_user_nor_intent(heard):
    person = NewPerson(email=ADDRESS, name="Layla", language="en", password="a long and quiet river")
    with suppress(ZeroDivisionError), transaction.atomic():
        services.register(person)
        assert (get_user_model().objects.count(), Intent.objects.count()) == (1, 1)
        raise ZeroDivisionError

    assert not get_user_model().objects.exists()
    assert not Intent.objects.exists()
    assert heard == []


@own_transactions
@pytest.mark.parametrize(
    "call",
    [
        enqueue,
        lambda: intents.enqueue_many("welcome", [Request(to=ADDRESS, context=NAMED)]),
        lambda: intents.enqueue_sample("welcome", to=ADDRESS),
        lambda: intents.resend(make_intent(State.SENT), actor="admin"),
    ],
    ids=["enqueue", "enqueue_many", "enqueue_sample", "resend"],
)
def test_there_must_be_a_transaction_to_join(call):
    with pytest.raises(NotInTransaction):
        call()
    assert not Intent.objects.filter(state="pending").exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        ({"kind": "nonesuch"}, UnknownKind, "kind 'nonesuch' is not one of"),
        ({"context": {}}, BadContext, "missing ['name']"),
        ({"context": None}, BadContext, "missing ['name']"),
        ({"context": {"name": "Layla", "nmae": ""}}, BadContext, "not declared ['nmae']"),
        ({"context": {"name": object()}}, BadContext, "must be JSON"),
        ({"context": {"name": float("nan")}}, BadContext, "must be JSON"),
        ({"context": {"name": "a\0b"}}, BadContext, "without NUL"),
        ({"context": {"name": ["a", {"b\0": 1}]}}, BadContext, "without NUL"),
        ({"context": {"name": "\ud800"}}, BadContext, "without NUL and half characters"),
        ({"context": {"name": "a" * 65_536}}, BadContext, "must be under 65536"),
        ({"to": "layla"}, BadAddress, "not an address"),
        ({"to": ""}, BadAddress, "not an address"),
        ({"to": "layla@example.com\nBcc: all@example.com"}, BadAddress, "not an address"),
        ({"to": "ليلى@example.com"}, BadAddress, "not an address"),
        ({"to": "a\0@example.com"}, BadAddress, "not an address"),
        ({"to": f"{'a' * 64}@{'.'.join(['b' * 60] * 4)}.example"}, BadAddress, "not an address"),
        ({"to": "a@example.com, b@example.com"}, BadAddress, "not an address"),
        ({"language": "en\r\nBcc: all@example.com"}, BadContext, "language must be one line"),
        ({"language": "e" * 17}, BadContext, "language must be one line of at most 16"),
        ({"owner": "7\n"}, BadContext, "owner must be one line"),
        ({"owner": "7" * 65}, BadContext, "owner must be one line of at most 64"),
        ({"dedupe_key": "k\0"}, BadContext, "dedupe_key must be one line"),
        ({"dedupe_key": "k" * 201}, BadContext, "dedupe_key must be one line of at most 200"),
        ({"not_before": datetime(2030, 1, 1)}, BadContext, "not_before needs a time zone"),  # noqa: DTZ001
    ],
)
def test_a_mistake_is_told_to_the_caller_and_writes_nothing(mistake, error, words):
    with pytest.raises(error) as told:
        enqueue(**mistake)
    assert words in str(told.value)
    assert not Intent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\\u0000", "\\\\u0000", "ليلى", "👩‍👩‍👧", 'a "b" \\c', "a" * 60_000, ["a", 1, None]])
def test_what_a_table_can_hold_comes_back_unchanged(name):
    enqueue(context={"name": name})

    assert Intent.objects.get().context == {"name": name}


@pytest.mark.django_db
def test_not_before_makes_it_due_later_and_its_lifetime_begins_then():
    noon = datetime(2031, 5, 1, 12, tzinfo=UTC)
    enqueue(not_before=noon)

    intent = Intent.objects.get()
    assert intent.due_at == intent.scheduled_at == noon
    assert intent.expires_at == datetime(2031, 5, 4, 12, tzinfo=UTC)
    assert intent.created_at < noon


@pytest.mark.django_db
def test_a_moment_that_is_past_means_now():
    enqueue(not_before=datetime(2001, 5, 1, 12, tzinfo=UTC))

    assert Intent.objects.filter(due_at=F("created_at"), expires_at=F("created_at") + timedelta(days=3)).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_key_that_an_open_intent_has_returns_that_intent(state):
    first = make_intent(state, dedupe_key="order 7")

    assert enqueue(dedupe_key="order 7").pk == first.pk
    assert Intent.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", sorted(CLOSED))
def test_a_key_is_free_again_once_its_intent_is_closed(state):
    make_intent(state, dedupe_key="order 7")
    second = enqueue(dedupe_key="order 7")

    assert states() == [state, "pending"]
    assert second.dedupe_key == "order 7"


@pytest.mark.django_db
def test_no_key_and_an_empty_key_never_collide():
    for key in (None, None, "", ""):
        enqueue(dedupe_key=key)

    assert list(Intent.objects.values_list("dedupe_key", flat=True)) == [None, None, None, None]


@own_transactions
def test_of_callers_racing_for_a_key_one_writes_and_all_get_its_intent():
    def call(_):
        with transaction.atomic():
            return enqueue(dedupe_key="order 7").task_id

    told = at_once(4, call)

    assert {Intent.objects.get().task_id} == set(told)


@own_transactions
def test_a_key_whose_holder_rolls_back_goes_to_the_one_that_waited():
    other = connection.copy()
    other.inc_thread_sharing()
    other.set_autocommit(False)
    intent = make_intent(dedupe_key="order 7")
    Intent.objects.update(dedupe_key=None)
    with other.cursor() as cursor:  # takes the key, and will give it up
        cursor.execute("UPDATE outbox_intent SET dedupe_key = 'order 7' WHERE id = %s", [intent.pk])

    def call(_):
        with transaction.atomic():
            return enqueue(dedupe_key="order 7").pk

    def give_up(_):
        eventually(somebody_waits)
        other.rollback()
        other.close()

    won, _ = at_once(2, lambda number: (call, give_up)[number](number))

    assert Intent.objects.get(dedupe_key="order 7").pk == won != intent.pk


@pytest.mark.django_db
def test_many_are_written_by_one_statement_and_come_back_in_order(django_assert_num_queries):
    requests = [Request(to=f"reader{number}@example.com", context=NAMED) for number in range(500)]

    with django_assert_num_queries(1):
        told = intents.enqueue_many("welcome", requests)

    assert [intent.recipient for intent in told] == [f"reader{number}@example.com" for number in range(500)]
    assert [intent.task_id for intent in told] == list(
        Intent.objects.order_by("pk").values_list("task_id", flat=True),
    )


@pytest.mark.django_db
def test_many_with_taken_keys_are_mixed_in_at_their_places():
    taken = make_intent(dedupe_key="b")
    keys = ["a", "b", "c", "a"]
    told = intents.enqueue_many("welcome", [Request(to=ADDRESS, context=NAMED, dedupe_key=key) for key in keys])

    assert [intent.dedupe_key for intent in told] == keys
    assert told[1].pk == taken.pk
    assert told[3].pk == told[0].pk
    assert Intent.objects.count() == 3


@pytest.mark.django_db
def test_none_at_all_is_no_mistake(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert intents.enqueue_many("welcome", []) == []


@pytest.mark.django_db
def test_one_bad_request_refuses_all():
    good, bad = Request(to=ADDRESS, context=NAMED), Request(to="nobody", context=NAMED)

    with pytest.raises(BadAddress):
        intents.enqueue_many("welcome", [good, bad])
    assert not Intent.objects.exists()


@pytest.mark.django_db
def test_a_sample_holds_the_declared_variables_of_its_kind_and_is_marked():
    intents.enqueue_sample("reset_code", to=ADDRESS, language="ar")

    intent = Intent.objects.get()
    assert (intent.is_sample, intent.context, intent.priority) == (True, {"request": 1}, 0)
