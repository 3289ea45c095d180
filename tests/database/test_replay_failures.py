"""replay_failures: which dead letters go back, in which batches, and what it says of the others."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.core.management import CommandError, call_command
from django.db import connection

from outbox import intents
from outbox.models import Intent
from outbox.states import State
from tests.database.command_steps import dead, pending, rows_of, run
from tests.database.outbox_steps import MINUTE, NOTHING, reread, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def lockable(ids):
    """How many of these rows a transaction on another connection can lock at once."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM outbox_intent WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED", [ids])
            return len(cursor.fetchall())
    finally:
        other.close()


def test_replaying_sends_dead_letters_back_and_leaves_the_rest():
    letters = [dead(reason="550 no such user") for _ in range(3)]
    others = [make_intent(state) for state in sorted(set(State) - {State.DEAD, State.PENDING})]
    before = [reread(intent).state for intent in others]

    assert "replayed 3 dead letters, skipped 0" in run("replay_failures")
    assert pending() == {intent.pk for intent in letters}
    assert [reread(intent).state for intent in others] == before
    assert {reread(intent).actor for intent in letters} == {"replay_failures"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--since", "2h"], {"young", "middle"}),
        (["--until", "10m"], {"middle", "old"}),
        (["--since", "2h", "--until", "10m"], {"middle"}),
        (["--kind", "welcome"], {"young", "old"}),
        (["--kind", "nonesuch"], set()),
        (["--error", "NO SUCH user"], {"old"}),
        (["--error", "100%"], {"middle"}),
        (["--error", "_"], set()),
        (["--limit", "1"], {"young"}),
        (["--limit", "0"], set()),
        (["--kind", "welcome", "--limit", "5"], {"young", "old"}),
    ],
    ids=lambda words: " ".join(sorted(words) if isinstance(words, set) else words),
)
def test_only_the_dead_letters_that_are_meant_are_replayed(words, expected):
    letters = {
        "young": dead(died=MINUTE),
        "middle": dead(died=HOUR, kind="password_changed", reason="mailbox 100% full", context={}),
        "old": dead(died=3 * HOUR, reason="5.1.1 No such user"),
    }
    counted = run("replay_failures", "--dry-run", *words)
    assert states() == ["dead"] * 3
    assert f"would replay {len(expected)} of" in counted

    run("replay_failures", *words)
    assert {name for name, intent in letters.items() if intent.pk in pending()} == expected


def test_single_letters_can_be_named():
    first, second, third = dead(), dead(), dead()
    run("replay_failures", "--id", str(first.task_id), str(third.task_id))

    assert pending() == {first.pk, third.pk}
    assert second.state == "dead"


def test_what_may_have_arrived_is_replayed_only_when_asked_for():
    unknown = dead(maybe_sent=True)
    run("replay_failures")
    assert pending() == set()

    run("replay_failures", "--include-unknown")
    assert pending() == {unknown.pk}


def test_what_is_skipped_is_counted_by_reason():
    dead()
    for _ in range(2):
        dead(expires_in=NOTHING)
    dead(maybe_sent=True)
    printed = run("replay_failures")

    assert printed.startswith("replayed 1 dead letters, skipped 3\n")
    assert rows_of(printed) == [
        ["2", "past its lifetime"],
        ["1", "may have arrived; --include-unknown replays these too"],
    ]


def test_a_dry_run_counts_by_kind_and_changes_nothing():
    for kind in ("welcome", "welcome", "password_changed"):
        dead(kind=kind)
    printed = run("replay_failures", "--dry-run")

    assert rows_of(printed) == [["1", "password_changed"], ["2", "welcome"]]
    assert printed.endswith("\nwould replay 3 of 3 dead letters (dry run)\n")
    assert states() == ["dead"] * 3


def test_more_than_a_batch_is_replayed_and_what_is_skipped_ends_no_batch(monkeypatch):
    monkeypatch.setattr("outbox.management.commands.replay_failures._BATCH", 2)
    for number in range(7):
        dead(expires_in=NOTHING if number in (0, 1) else HOUR)

    assert "replayed 5 dead letters, skipped 2" in run("replay_failures")


def test_letters_that_die_again_meanwhile_are_not_replayed_twice(monkeypatch):
    monkeypatch.setattr("outbox.management.commands.replay_failures._BATCH", 2)
    for _ in range(4):
        dead()
    replay = intents.replay

    def replay_and_die(ids, **given):
        done = replay(ids, **given)
        Intent.objects.filter(pk__in=ids).update(state="dead", closed_at=Now())
        return done

    monkeypatch.setattr("outbox.intents.replay", replay_and_die)

    assert "replayed 4 dead letters" in run("replay_failures")


def test_an_interruption_keeps_what_is_done_says_so_and_leaves_the_rest_for_the_next_run(monkeypatch):
    monkeypatch.setattr("outbox.management.commands.replay_failures._BATCH", 2)
    for _ in range(6):
        dead()
    replay, batches = intents.replay, []

    def replay_twice(ids, **given):
        batches.append(ids)
        if len(batches) > 2:
            raise KeyboardInterrupt
        return replay(ids, **given)

    monkeypatch.setattr("outbox.intents.replay", replay_twice)
    out = StringIO()
    with pytest.raises(CommandError) as told:
        call_command("replay_failures", "--json", stdout=out)
    monkeypatch.undo()

    assert told.value.returncode == 130
    assert json.loads(out.getvalue()) == {"replayed": 4, "skipped": 0, "why_skipped": {}, "interrupted": True}
    assert "replayed 2 dead letters" in run("replay_failures")


@pytest.mark.django_db(transaction=True)
def test_no_batch_is_locked_any_longer_than_it_takes(monkeypatch):
    monkeypatch.setattr("outbox.management.commands.replay_failures._BATCH", 2)
    letters = [dead() for _ in range(6)]
    free: list[int] = []  # how many somebody else could lock before each batch
    replay = intents.replay

    def look_and_replay(ids, **given):
        free.append(lockable([letter.pk for letter in letters]))
        return replay(ids, **given)

    monkeypatch.setattr("outbox.intents.replay", look_and_replay)

    assert "replayed 6 dead letters" in run("replay_failures")
    assert free == [6, 6, 6]


def test_replaying_again_replays_nothing_more():
    dead()
    run("replay_failures")

    assert "replayed 0 dead letters" in run("replay_failures")


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--id", "7"], ["--limit", "many"], ["--limit", "-1"]])
def test_what_is_not_understood_is_refused_before_anything_happens(words):
    dead()
    with pytest.raises(CommandError):
        run("replay_failures", *words)

    assert states() == ["dead"]
