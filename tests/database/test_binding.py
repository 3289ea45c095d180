"""Binding late variables: one question per kind and round, and one bad row spoils no other."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import DataError, OperationalError, ProgrammingError

from outbox import binding
from outbox.binding import Ready
from outbox.kinds import Bound, Lacking, Over, Unbound
from outbox.models import Intent
from outbox.outcomes import Broken, GivenBack, Void
from tests.factories import begin_one, make_intent

pytestmark = pytest.mark.django_db
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def bound(*begun):
    """The answers, in the order of the attempts."""
    answers = {one.token: answer for one, answer in binding.bind(begun)}
    return [answers[one.token] for one in begun]


def in_words(answer):
    """The outcome, its reason and the wait that it asks for."""
    return type(answer), answer.reply.text, getattr(answer, "wait", None)


def test_a_kind_that_binds_nothing_is_ready_as_it_is():
    assert bound(begin_one(language="ar")) == [Ready(context={"name": "Layla Haddad"}, language="ar")]


def test_a_binder_is_asked_once_for_all_and_answers_in_order(change_kind):
    asked = []

    def bind(mails):
        asked.append(mails)
        return [Bound(context={"code": mail.recipient[:1]}, language=mail.recipient[:2]) for mail in mails]

    change_kind("welcome", bind=bind)
    begun = [begin_one(recipient=f"{letter}r@example.com", context={"name": letter}) for letter in "abc"]

    assert bound(*begun) == [Ready(context={"name": x, "code": x}, language=f"{x}r") for x in "abc"]
    assert asked == [[Unbound(recipient=f"{x}r@example.com", language="en", context={"name": x}) for x in "abc"]]


def test_each_kind_is_asked_about_its_own(change_kind):
    change_kind("welcome", bind=lambda mails: [Bound(context={"of": "welcome"})] * len(mails))
    change_kind("account_exists", bind=lambda mails: [Bound(context={"of": "exists"})] * len(mails))
    kinds_ = ["welcome", "account_exists", "welcome"]
    begun = [begin_one(kind=kind, context={"name": "a"} if kind == "welcome" else {}) for kind in kinds_]

    assert [answer.context["of"] for answer in bound(*begun)] == ["welcome", "exists", "welcome"]


def test_a_default_fills_in_what_the_last_release_did_not_write(change_kind):
    change_kind(
        "welcome",
        variables=frozenset({"name", "plan"}),
        sample={"name": "Layla", "plan": "pro"},
        defaults={"plan": "free"},
    )

    assert bound(begin_one())[0].context == {"name": "Layla Haddad", "plan": "free"}


def test_a_context_of_another_release_is_given_back_and_stops_no_other():
    good, bad = begin_one(), begin_one(context={"nmae": "Layla"})

    ready, lacking = bound(good, bad)

    assert isinstance(ready, Ready)
    assert in_words(lacking) == (
        GivenBack,
        "kind 'welcome': missing ['name'], not declared ['nmae']",
        timedelta(seconds=15),
    )


def test_what_is_over_is_void_and_what_is_lacking_is_given_back(change_kind):
    answers = [Over("no active account has this address"), Lacking("the key of this code"), Bound(context={})]
    change_kind("welcome", bind=lambda _: answers)

    over, lacking, ready = bound(*(begin_one() for _ in range(3)))

    assert in_words(over) == (Void, "no active account has this address", None)
    assert in_words(lacking) == (GivenBack, "the key of this code", 15 * SECOND)
    assert isinstance(ready, Ready)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"kind": "of_the_next_release"}, "kind 'of_the_next_release' is not one of"),
        ({"kind": "message", "payload": b"sealed with another key", "context": {}}, "the key of this message"),
    ],
    ids=["kind", "key"],
)
def test_what_this_worker_does_not_know_is_given_back_and_broken_after_an_hour(columns, words):
    young = begin_one(**columns, due_in=-HOUR)
    late = begin_one(**columns, due_in=-2 * HOUR)  # an outage held it up: nobody has asked for it yet
    old = replace(late, number=201)

    given_back, late_one, broken = (bound(one)[0] for one in (young, late, old))

    assert in_words(given_back)[::2] == (GivenBack, 15 * SECOND)
    assert in_words(late_one)[::2] == (GivenBack, 15 * SECOND)
    assert isinstance(broken, Broken)
    assert words in given_back.reply.text
    assert words in broken.reply.text


def test_an_unknown_kind_stops_no_other():
    unknown, known = begin_one(kind="of_the_next_release"), begin_one()

    assert [type(answer) for answer in bound(unknown, known)] == [GivenBack, Ready]


def raising(error):
    def bind(mails):
        if any(mail.recipient.startswith("bad") for mail in mails):
            raise error
        return [Bound(context={})] * len(mails)

    return bind


def test_a_binder_that_raises_breaks_that_one_mail_only(change_kind):
    change_kind("welcome", bind=raising(ZeroDivisionError("division by zero")))
    begun = [begin_one(recipient=f"{name}@example.com") for name in ("good", "bad", "fine")]

    answers = bound(*begun)

    assert [type(answer) for answer in answers] == [Ready, Broken, Ready]
    assert answers[1].reply.text == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("answers", [[], [Bound(context={})] * 2, None], ids=["none", "too many", "no list"])
def test_a_binder_that_miscounts_is_asked_one_by_one(answers, change_kind):
    def bind(mails):
        return [Bound(context={})] if len(mails) == 1 else answers

    change_kind("welcome", bind=bind)

    assert [type(answer) for answer in bound(*(begin_one() for _ in range(3)))] == [Ready] * 3


def test_a_binder_that_answers_nonsense_breaks_that_one_mail_only(change_kind):
    change_kind("welcome", bind=lambda mails: [None, Bound(context={})] if len(mails) == 2 else [None])

    nonsense, ready = bound(begin_one(), begin_one())

    assert isinstance(nonsense, Broken)
    assert isinstance(ready, Ready)
    assert "None" in nonsense.reply.text


def test_a_query_that_one_row_spoils_spoils_no_other(change_kind):
    change_kind("welcome", bind=raising(DataError("integer out of range")))
    begun = [begin_one(recipient=f"{name}@example.com") for name in ("good", "bad", "fine")]

    answers = bound(*begun)

    assert [type(answer) for answer in answers] == [Ready, GivenBack, Ready]
    assert in_words(answers[1]) == (GivenBack, "integer out of range", 15 * SECOND)


def test_a_query_that_fails_for_an_hour_is_broken(change_kind):
    change_kind("welcome", bind=raising(ProgrammingError("column does not exist")))

    [broken] = bound(replace(begin_one(recipient="bad@example.com", due_in=-2 * HOUR), number=201))

    assert in_words(broken) == (Broken, "column does not exist", None)


def test_when_the_database_is_lost_while_binding_all_are_given_back_at_once(change_kind):
    asked = []

    def bind(mails):
        asked.append(len(mails))
        raise OperationalError("the connection is closed")

    change_kind("welcome", bind=bind)

    answers = bound(*(begin_one() for _ in range(3)))

    assert [in_words(answer) for answer in answers] == [(GivenBack, "the connection is closed", timedelta())] * 3
    assert asked == [3]


@pytest.mark.django_db(transaction=True)
def test_a_failing_query_leaves_the_connection_in_order(change_kind):
    def bind(mails):
        get_user_model().objects.extra(where=["1/0 = 1"]).exists()
        return [Bound(context={})] * len(mails)

    change_kind("welcome", bind=bind)
    [answer] = bound(begin_one())

    assert isinstance(answer, GivenBack)
    assert Intent.objects.filter(due_at__lte=Now()).count() == 1


def test_a_sample_is_rendered_from_the_sample_context_and_nothing_is_asked(change_kind):
    change_kind("reset_code", bind=lambda _: 1 / 0)
    sample = begin_one(kind="reset_code", context={"request": 1}, is_sample=True)

    [ready] = bound(sample)

    assert ready.context == {"request": 1, "name": "Layla Haddad", "code": "042137", "minutes": 60}


def test_samples_and_real_mails_are_told_apart(change_kind):
    asked = []

    def bind(mails):
        asked.append(len(mails))
        return [Bound(context={"late": 1})] * len(mails)

    change_kind("welcome", bind=bind)
    sample, real, sample_too = (begin_one(is_sample=flag) for flag in (True, False, True))

    contexts = [answer.context for answer in bound(sample, real, sample_too)]

    assert contexts == [{"name": "Layla Haddad"}, {"name": "Layla Haddad", "late": 1}, {"name": "Layla Haddad"}]
    assert asked == [1]


def test_nothing_begun_is_nothing_asked(django_assert_num_queries):
    make_intent()

    with django_assert_num_queries(0):
        assert binding.bind([]) == []
