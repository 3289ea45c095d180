"""The commands of the outbox: what they print, change and exit with."""

import json
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from threading import Thread
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.core.management import CommandError, call_command
from django.db import connection

from outbox import counts, doctor, pruner, queries
from outbox.models import Intent, Provider
from outbox.states import State
from tests.database.command_steps import complaint, dead, run
from tests.database.outbox_steps import MINUTE, NOTHING, SECOND, eventually, provider, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


# test_email_tasks


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ([], ["welcome", "reset_code"]),
        (["--task", "both"], ["welcome", "reset_code"]),
        (["--task", "welcome"], ["welcome"]),
        (["--task", "reset"], ["reset_code"]),
    ],
)
def test_sample_mails_are_enqueued_to_the_address(words, kinds):
    printed = run("test_email_tasks", "--email", "Layla@Example.com", "--language", "ar", *words)

    samples = list(Intent.objects.order_by("pk"))
    assert [sample.kind for sample in samples] == kinds
    assert {(s.recipient, s.language, s.is_sample) for s in samples} == {("layla@example.com", "ar", True)}
    assert printed == "".join(f"enqueued {sample.kind} as {sample.task_id}\n" for sample in samples)


def test_a_bad_address_is_told_and_nothing_is_enqueued():
    assert complaint("test_email_tasks", "--email", "layla").startswith("--email: not an address")
    assert not Intent.objects.exists()


@pytest.mark.parametrize("words", [[], ["--email", "a@example.com", "--preview", "mails"], ["--task", "both"]])
def test_it_must_be_said_whether_to_send_or_to_preview(words):
    with pytest.raises(CommandError):
        run("test_email_tasks", *words)
    assert not Intent.objects.exists()


def test_waiting_has_an_end(monkeypatch):
    monkeypatch.setattr("outbox.management.commands.test_email_tasks._PATIENCE_S", 0.3)

    told = complaint("test_email_tasks", "--email", "layla@example.com", "--wait")
    assert told == "still not sent after 0.3 s: is a worker running? see outbox_status"
    assert states() == ["pending", "pending"]


def while_waiting(work):
    """Do this in another process's place as soon as the samples are there."""

    def do():
        try:
            eventually(Intent.objects.exists)
            work()
        finally:
            connection.close()

    thread = Thread(target=do)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_when_the_mails_are_sent(smtp, make_sender):
    sending = while_waiting(make_sender().work)
    printed = run("test_email_tasks", "--email", "layla@example.com", "--wait")
    sending.join()

    assert printed.count(": sent") == 2
    assert len(smtp.record.accepted_for("layla@example.com")) == 2


@pytest.mark.django_db(transaction=True)
def test_waiting_for_what_is_not_sent_is_an_error():
    ending = while_waiting(lambda: Intent.objects.update(state="dead", closed_at=Now(), reason="550 no such user"))
    told = complaint("test_email_tasks", "--email", "layla@example.com", "--task", "welcome", "--wait")
    ending.join()

    assert told == f"{Intent.objects.get().task_id} was not sent"


def test_previews_need_no_database(tmp_path, django_assert_num_queries):
    with django_assert_num_queries(0):
        printed = run("test_email_tasks", "--preview", str(tmp_path / "mails"))

    assert (tmp_path / "mails" / "index.html").exists()
    assert (tmp_path / "mails" / "reset_code.ar.html").exists()
    assert printed.startswith("wrote 8 mails; open ")


# outbox_status


def status(*words):
    return json.loads(run("outbox_status", "--json", *words))


def test_an_outbox_that_was_never_used_has_a_status():
    told = status()

    assert told["states"] == {
        "pending": 0,
        "claimed": 0,
        "sending": 0,
        "sent": 0,
        "dead": 0,
        "expired": 0,
        "cancelled": 0,
    }
    assert (told["due"], told["oldest_due"], told["breaker"]) == (0, None, "closed")
    assert (told["paused"], told["last_tick"], told["reason"]) == (False, None, "")


def test_the_status_counts_what_is_due_and_how_late_it_is():
    make_intent(due_in=-90 * SECOND)
    make_intent(due_in=-SECOND)
    make_intent(due_in=HOUR)
    make_intent(State.SENDING, due_in=-HOUR)
    make_intent(State.DEAD)
    provider(ticked_at=NOTHING)
    told = status()

    assert (told["due"], told["oldest_due"]) == (2, 90.0)
    assert (told["states"]["pending"], told["states"]["sending"], told["states"]["dead"]) == (3, 1, 1)
    assert told["last_tick"] is not None


@pytest.mark.parametrize(
    ("columns", "breaker", "reason", "paused"),
    [
        ({"window": 4}, "starting slowly", "", False),
        ({"opened_at": -SECOND, "probe_at": SECOND, "reason": "535 login"}, "open", "535 login", False),
        ({"paused_at": -SECOND}, "closed", "", True),
    ],
)
def test_the_status_tells_the_breaker_and_the_pause(columns, breaker, reason, paused):
    provider(**columns)
    told = status()

    assert (told["breaker"], told["reason"], told["paused"]) == (breaker, reason, paused)


def test_the_picture_shows_states_and_the_newest_mails_without_their_addresses():
    for number in range(12):
        make_intent(recipient=f"reader{number}@example.com", reason=f"reason {number}")
    picture = run("outbox_status")

    assert "r***@example.com" in picture
    assert "reader" not in picture
    assert "mails by state" in picture
    assert "reason 11" in picture
    assert "reason 1 " not in picture


@pytest.mark.parametrize(
    ("due_in", "ticked", "words", "wrong"),
    [
        (-MINUTE, -SECOND, [], ""),
        (-6 * MINUTE, -SECOND, [], "the oldest due mail has waited"),
        (-6 * MINUTE, -SECOND, ["--oldest", "10m"], ""),
        (-20 * SECOND, -SECOND, ["--oldest", "10s"], "longer than 0:00:10"),
        (HOUR, -2 * MINUTE, [], "no tick of the dispatcher in the last minute"),
        (HOUR, None, [], "no tick of the dispatcher in the last minute"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["picture", "json"])
def test_the_check_fails_when_mail_does_not_flow(form, due_in, ticked, words, wrong):
    make_intent(due_in=due_in)
    provider(**({} if ticked is None else {"ticked_at": ticked}))

    if wrong:
        assert wrong in complaint("outbox_status", "--check", *form, *words)
    else:
        run("outbox_status", "--check", *form, *words)


def test_what_is_wrong_is_no_error_unless_it_is_asked_for():
    make_intent(due_in=-HOUR)

    assert status()["oldest_due"] == 3600.0


@pytest.mark.parametrize("state", sorted(State))
def test_counts_stop_and_say_so(monkeypatch, state):
    monkeypatch.setitem(queries._STOP, "stop", 3)
    monkeypatch.setattr(counts, "CAP", 2)
    for _ in range(5):
        make_intent(state, due_in=-SECOND)

    assert status()["states"][state] == 3
    assert "more than 2" in run("outbox_status")
    assert status()["due"] == (3 if state in {State.PENDING, State.CLAIMED} else 0)


def test_what_looks_like_markup_is_shown_as_it_is():
    make_intent(State.DEAD, reason="[/red] :boom: [bold]no")

    assert "[/red] :boom: [bold]no" in run("outbox_status")


def test_a_database_that_does_not_answer_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(queries, "status", lambda: connection.cursor().execute("SELECT 1 FROM nowhere"))
    with pytest.raises(CommandError) as told:
        run("outbox_status", "--check")

    assert told.value.returncode == 2
    assert str(told.value).startswith("the database does not answer: ")


def test_the_status_costs_the_same_whatever_the_size_of_the_table(django_assert_max_num_queries):
    for _ in range(20):
        make_intent()
    provider()

    with django_assert_max_num_queries(4):
        run("outbox_status", "--json")


# outbox_pause, outbox_resume, outbox_doctor


def test_pause_and_resume_say_whether_they_changed_anything():
    printed = [run(command) for command in ("outbox_resume", *["outbox_pause"] * 2, "outbox_resume")]

    assert printed == ["was not paused\n", "paused\n", "was paused already\n", "resumed\n"]
    assert Provider.objects.get().paused_at is None


def test_the_doctor_is_content_with_every_state():
    for state in State:
        make_intent(state, attempts=2)

    assert run("outbox_doctor").startswith("all ")


def test_the_doctor_names_what_is_broken_and_fails():
    lost = make_intent(attempts=0)
    Intent.objects.update(attempts=1)
    with suppress(CommandError):
        run("outbox_doctor")

    out = StringIO()
    with pytest.raises(CommandError):
        call_command("outbox_doctor", stdout=out)
    assert str(lost.task_id) in out.getvalue()
    assert str(uuid4()) not in out.getvalue()


# For machines


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["replay_failures"], {"replayed": 1, "skipped": 0, "why_skipped": {}, "interrupted": False}),
        (["replay_failures", "--dry-run"], {"would_replay": 1, "found": 1, "by_kind": {"welcome": 1}, "left_out": 0}),
        (["outbox_pause"], {"paused": True, "changed": True}),
        (["outbox_resume"], {"paused": False, "changed": False}),
        (["outbox_prune"], {"deleted": 0, "would_delete": 0, "by_reason": dict.fromkeys(pruner._past(), 0)}),
        (["outbox_doctor"], {"invariants": len(doctor.names()), "broken": []}),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_every_command_answers_in_json(words, expected):
    dead()

    assert json.loads(run(*words, "--json")) == expected


def test_samples_and_previews_are_told_in_json(tmp_path):
    told = json.loads(run("test_email_tasks", "--email", "layla@example.com", "--task", "welcome", "--json"))
    assert told == {"enqueued": [{"kind": "welcome", "task_id": str(Intent.objects.get().task_id)}]}

    written = json.loads(run("test_email_tasks", "--preview", str(tmp_path), "--json"))
    assert written == {"written": 8, "index": str(tmp_path / "index.html")}


def test_what_is_broken_is_told_in_json_and_fails():
    lost = make_intent(attempts=0)
    Intent.objects.update(attempts=1)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("outbox_doctor", "--json", stdout=out, stderr=StringIO())

    [broken] = json.loads(out.getvalue())["broken"]
    assert (broken["count"], broken["examples"]) == (1, [str(lost.task_id)])
