"""A person registers and resets a password over HTTP; the mails arrive; the rows say so."""

from datetime import datetime
from itertools import count

from tests.acceptance import mailbag
from tests.acceptance.client import PASSWORD
from tests.acceptance.rig import Rig

_NUMBERS = count(1)
_CONNECTED = "SELECT pid, backend_start FROM pg_stat_activity"
# Most often the last that a sender did runs by its name, or taught the name; after a COMMIT the next mail tells.
_SENDERS = f"{_CONNECTED} WHERE query ~ '(PREPARE|EXECUTE) outbox_' AND state = 'idle'"


def fresh_address() -> str:
    return f"person-{next(_NUMBERS)}@example.com"


def test_who_registers_gets_a_mail_and_the_row_says_sent(system: Rig):
    email = fresh_address()

    answer = system.client.register(email)

    assert answer.code == 201
    assert answer.body["status"] == "success"
    system.wait_sent(answer.body["task_id"])
    [mail] = system.smtp.record.accepted_for(email)
    assert mail.recipients == (email,)
    assert "Omar Nasser" in mailbag.text(mail)
    assert "Omar Nasser" in mailbag.html(mail)
    token = system.client.log_in(email)
    task = system.client.get(f"/api/outbox/{answer.body['task_id']}/", token).body["task"]
    assert (task["kind"], task["state"], task["attempts"]) == ("welcome", "sent", 1)


def test_a_mail_waits_for_no_tick_and_costs_no_connection_to_the_database(system: Rig):
    """Nobody ticks here: the nudge after the commit alone brings each mail, to a worker that stays connected."""
    system.retire(system.beat)
    system.watch(1)  # a tick that was on its way has been worked off
    senders: set[tuple[int, datetime]] = set()

    def is_sent_and_known() -> bool:
        system.wait_sent(system.client.register(fresh_address()).body["task_id"], seconds=5)
        senders.update(system.rows(_SENDERS))
        return bool(senders)

    system.wait(is_sent_and_known, "a sender stays connected")
    for _ in range(3):
        system.wait_sent(system.client.register(fresh_address()).body["task_id"], seconds=5)

    assert senders <= set(system.rows(_CONNECTED))


def test_an_arabic_name_and_language_give_an_arabic_mail(system: Rig):
    email = fresh_address()

    answer = system.client.register(email, name="ليلى حداد", language="ar")

    assert answer.code == 201
    assert answer.body["ar"]
    system.wait_sent(answer.body["task_id"])
    [mail] = system.smtp.record.accepted_for(email)
    assert "ليلى حداد" in mailbag.text(mail)
    assert 'dir="rtl"' in mailbag.html(mail)
    assert mail.raw.isascii() or b"8bit" in mail.raw.lower()
    assert not mail.has_bare_newline
    assert not mail.has_long_line


def test_the_code_of_the_delivered_mail_sets_a_new_password(system: Rig):
    email, password = fresh_address(), "another-fine-day-in-Dubai-28"
    system.wait_sent(system.client.register(email).body["task_id"])

    asked = system.client.post("/api/auth/password/reset/", email=email)
    assert asked.code == 202
    system.wait_sent(asked.body["task_id"])
    code = mailbag.code(system.smtp.record.accepted_for(email)[-1])
    wrong = f"{(int(code) + 1) % 1_000_000:06}"

    assert system.client.post("/api/auth/password/reset/verify/", email=email, code=wrong).code == 400
    assert system.client.post("/api/auth/password/reset/verify/", email=email, code=code).code == 200
    new = {"password": password, "password_confirm": password}
    assert system.client.post("/api/auth/password/reset/confirm/", email=email, code=code, **new).code == 200
    assert system.client.post("/api/auth/login/", email=email, password=PASSWORD).code == 401
    assert system.client.log_in(email, password)
    system.wait(lambda: len(system.smtp.record.accepted_for(email)) == 3, "the mail about the change arrives")


def test_an_address_without_an_account_gets_no_code(system: Rig):
    asked = system.client.post("/api/auth/password/reset/", email="nobody@example.com")

    assert asked.code == 202
    system.wait(lambda: system.state(asked.body["task_id"]) == "cancelled", "the intent is cancelled")
    assert system.smtp.record.accepted_for("nobody@example.com") == []


def test_who_registers_again_is_told_by_mail_and_by_nothing_else(system: Rig):
    email = fresh_address()
    first = system.client.register(email)
    system.wait_sent(first.body["task_id"])

    second = system.client.register(email, name="Somebody Else")

    assert second.code == 201
    assert second.body.keys() == first.body.keys()
    assert second.body["en"] == first.body["en"]
    system.wait_sent(second.body["task_id"])
    assert len(system.smtp.record.accepted_for(email)) == 2
    assert system.one("SELECT count(*) FROM auth_api_user WHERE email = %s", email) == 1
