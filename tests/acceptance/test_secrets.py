"""A reset code is in no table, no broker message and no log, neither while its mail is under way nor after."""

import base64

import pytest

from tests.acceptance import leaks, mailbag
from tests.acceptance.rig import Rig
from tests.smtp import Reply, Rule, Stage

_EMAIL = "secretive@example.com"


def everywhere(system: Rig, wire: leaks.Wiretap) -> dict[str, str]:
    return {
        "database": leaks.database(system),
        "broker": leaks.broker(system),
        "wire to the broker": wire.heard,
        "logs": system.logged(),  # older lines hold thousands of numbers, and no code that is drawn now
    }


def test_the_reset_code_is_nowhere_but_in_the_mail(system: Rig):
    with leaks.Wiretap(system) as wire:
        system.wait_sent(system.client.register(_EMAIL).body["task_id"])
        gate = system.gate(_EMAIL)
        task = system.client.post("/api/auth/password/reset/", email=_EMAIL).body["task_id"]
        system.wait(gate.arrived.is_set, "the mail is under way")
        code = mailbag.code(system.smtp.record.received[-1])
        during = everywhere(system, wire)
        gate.release()
        system.wait_sent(task)
        system.client.post("/api/auth/password/reset/verify/", email=_EMAIL, code=code)
        new = {"password": "a-quite-new-day-29", "password_confirm": "a-quite-new-day-29"}
        answer = system.client.post("/api/auth/password/reset/confirm/", email=_EMAIL, code=code, **new)
        system.wait(lambda: len(system.smtp.record.accepted_for(_EMAIL)) >= 3, "the last mail arrives")
        after = everywhere(system, wire)

    assert answer.code == 200
    for place, text in during.items():
        assert text, place
        assert not leaks.holds(text, code), place
    for place, text in after.items():
        assert not leaks.holds(text, code), place
    assert task in during["database"]
    assert "outbox.send" in during["wire to the broker"] + during["broker"] + during["logs"]


def test_a_failing_reset_mail_leaves_no_code_either(system: Rig):
    with leaks.Wiretap(system) as wire:
        system.wait_sent(system.client.register(_EMAIL).body["task_id"])
        system.smtp.script.add(Rule(Stage.ANSWER, Reply(554, "5.7.1 spam")))
        task = system.client.post("/api/auth/password/reset/", email=_EMAIL).body["task_id"]
        system.wait(lambda: system.state(task) == "dead", "it is dead")
        code = mailbag.code(system.smtp.record.received[-1])
        found = everywhere(system, wire)

    for place, text in found.items():
        assert not leaks.holds(text, code), place


@pytest.mark.parametrize(
    "hidden",
    [
        "code: 042137.",
        "042137",
        '{"code": "042137"}',
        base64.b64encode(b'{"args": [1, "042137"]}').decode(),
        b"your code is 042137".hex(),
        "\\\\x" + b"\x00\xff 042137 \x00".hex(),
    ],
)
def test_the_search_finds_a_code_that_is_there(hidden: str):
    assert leaks.holds(f"some words, {hidden} and others", "042137")


@pytest.mark.parametrize("other", ["1042137", "0421370", "12:00:00.042137", "1764000000.0421370"])
def test_the_search_takes_no_longer_number_and_no_fraction_for_the_code(other: str):
    assert not leaks.holds(f"at {other} something", "042137")


def test_the_search_looks_into_every_place(system: Rig):
    system.wait(lambda: system.rows("SELECT 1 FROM outbox_provider"), "there is a row to write into")
    system.rows("UPDATE outbox_provider SET reason = 'a 042137'")
    system.redis().lpush("email-unread", base64.b64encode(b'["042137"]'))
    (system.logs / "extra.log").write_text("042137\n", encoding="utf-8")

    found = [leaks.database(system), leaks.broker(system), system.logged()]
    system.redis().delete("email-unread")
    (system.logs / "extra.log").unlink()

    assert all(leaks.holds(text, "042137") for text in found)
