"""Declarations of mails: what contradicts itself is refused, contexts are checked and filled in."""

from dataclasses import replace
from datetime import timedelta

import pytest

from auth_api import mails
from outbox import kinds
from outbox.errors import BadContext, OutboxError, UnknownKind
from outbox.kinds import RAW, Kind, Priority

PLAIN = Kind(name="plain", variables=frozenset({"name", "link"}), sample={"name": "Layla", "link": "https://x.test"})


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    """What a test declares is gone after it."""
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))


def bind(mails):
    return [kinds.Bound(context={"code": "042137"}) for _ in mails]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"late": {"code"}, "sample": {**PLAIN.sample, "code": "1"}}, "late variables but no bind"),
        ({"sample": {"name": "Layla"}}, "sample must hold exactly its variables"),
        ({"sample": {**PLAIN.sample, "more": 1}}, "sample must hold exactly its variables"),
        ({"late": {"code"}, "bind": bind}, "sample must hold exactly its variables"),
        ({"late": {"name"}, "bind": bind}, r"\['name'\] that they are late and that they are not"),
        ({"defaults": {"nmae": "Layla"}}, r"defaults for what it does not declare: \['nmae'\]"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_by_name(changes, complaint):
    with pytest.raises(ValueError, match=f"kind 'plain'.*{complaint}"):
        replace(PLAIN, **changes)


def test_a_kind_that_only_wants_to_be_asked_whether_it_is_over_needs_no_late_variables():
    assert replace(PLAIN, bind=bind).late == frozenset()


def test_a_complete_context_is_taken_as_it_is():
    assert PLAIN.complete({"name": "Omar", "link": "x"}) == {"name": "Omar", "link": "x"}


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"name": "Omar"}, r"missing \['link'\]"),
        ({}, r"missing \['link', 'name'\]"),
        ({"name": "Omar", "link": "x", "lnik": "y"}, r"not declared \['lnik'\]"),
    ],
)
def test_a_context_with_one_variable_too_few_or_too_many_is_refused(context, complaint):
    with pytest.raises(BadContext, match=complaint):
        PLAIN.complete(context)


def test_the_caller_may_not_give_what_is_bound_late():
    with pytest.raises(BadContext, match=r"not declared \['code'\]"):
        mails.RESET_CODE.complete({"request": 1, "code": "042137"})


def test_a_default_fills_in_what_an_intent_of_the_last_release_lacks():
    newer = replace(PLAIN, defaults={"link": "https://default.test"})

    assert newer.complete({"name": "Omar"}) == {"name": "Omar", "link": "https://default.test"}
    assert newer.complete({"name": "Omar", "link": "own"}) == {"name": "Omar", "link": "own"}


def test_a_context_is_copied_and_neither_default_nor_context_changed():
    context = {"name": "Omar", "link": "x"}

    PLAIN.complete(context)["name"] = "changed"

    assert context == {"name": "Omar", "link": "x"}


def test_a_kind_is_known_once_it_is_registered():
    assert kinds.register(PLAIN) is PLAIN

    assert kinds.get("plain") is PLAIN
    assert "plain" in kinds.names()


def test_the_same_declaration_may_be_imported_twice_but_no_other_of_its_name():
    kinds.register(PLAIN)

    assert kinds.register(replace(PLAIN)) == PLAIN
    with pytest.raises(ValueError, match="'plain' is declared twice"):
        kinds.register(replace(PLAIN, priority=Priority.BULK))


def test_a_kind_that_nobody_declared_is_told_with_those_that_are():
    with pytest.raises(UnknownKind, match=r"'wellcome' is not one of \[.*'welcome'\]") as raised:
        kinds.get("wellcome")

    assert isinstance(raised.value, OutboxError)


def test_finished_messages_are_a_kind_that_is_known_everywhere_and_never_rendered():
    assert kinds.get("message") is RAW
    assert "message" not in kinds.names()
    with pytest.raises(ValueError, match="declared twice"):
        kinds.register(replace(PLAIN, name="message"))


def test_a_kind_has_the_usual_priority_and_may_be_repeated_unless_it_says_otherwise():
    assert (PLAIN.priority, PLAIN.repeatable) == (Priority.NORMAL, True)
    assert (PLAIN.lifetime, PLAIN.retries) == (None, None)  # the global ones


def test_urgent_mails_have_the_lower_number_for_that_is_what_a_claim_sorts_by():
    assert [priority.name for priority in sorted(Priority)] == ["HIGH", "NORMAL", "BULK"]


def test_the_reset_code_is_urgent_short_lived_and_names_no_code_in_its_context():
    kind = mails.RESET_CODE

    assert kind.priority == Priority.HIGH
    assert kind.lifetime == timedelta(hours=1)
    assert kind.variables == {"request"}
