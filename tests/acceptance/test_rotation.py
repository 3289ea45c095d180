"""SECRET_KEY changes while codes are under way; web servers and workers get the new one at different moments."""

import secrets

from ops.dev.place import HOST
from ops.dev.programs import Web
from tests.acceptance import mailbag
from tests.acceptance.client import Client
from tests.acceptance.crew import Worker
from tests.acceptance.rig import Rig

_EMAIL = "early@example.com"
_NEW = {"password": "a-quite-new-day-29", "password_confirm": "a-quite-new-day-29"}
_GIVEN_BACK_S = 15  # how long a mail rests that a worker could not make


class RotatedWeb(Web):
    """A web server that has the new key already."""

    name = "web-rotated"


def rotated(system: Rig) -> dict[str, str]:
    """The environment after the rotation: a new key, the old one as a fallback."""
    return {**system.env, "SECRET_KEY": secrets.token_urlsafe(50), "SECRET_KEY_FALLBACKS": system.env["SECRET_KEY"]}


def rotated_web(system: Rig, env: dict[str, str]) -> Client:
    """A caller of a web server that has the new key."""
    web = RotatedWeb(env, system.logs)
    system.add(web)
    return Client(HOST, web.port)


def delivered_code(system: Rig) -> str:
    """The code of the last mail."""
    return mailbag.code(system.smtp.record.accepted_for(_EMAIL)[-1])


def test_a_code_that_was_mailed_before_the_rotation_works_after_it(system: Rig):
    system.wait_sent(system.client.register(_EMAIL).body["task_id"])
    system.wait_sent(system.client.post("/api/auth/password/reset/", email=_EMAIL).body["task_id"])
    code = delivered_code(system)

    after = rotated_web(system, rotated(system))

    assert after.post("/api/auth/password/reset/verify/", email=_EMAIL, code=code).code == 200
    assert after.post("/api/auth/password/reset/confirm/", email=_EMAIL, code=code, **_NEW).code == 200
    assert after.log_in(_EMAIL, _NEW["password"])


def test_a_code_that_an_old_worker_mails_after_the_rotation_works(system: Rig):
    system.wait_sent(system.client.register(_EMAIL).body["task_id"])
    system.worker.pause()  # the whole of it: it mails the code only when the web server has the new key
    asked = system.client.post("/api/auth/password/reset/", email=_EMAIL)
    after = rotated_web(system, rotated(system))
    system.worker.resume()
    system.wait_sent(asked.body["task_id"])

    code = delivered_code(system)
    assert after.post("/api/auth/password/reset/confirm/", email=_EMAIL, code=code, **_NEW).code == 200


def test_a_worker_without_the_new_key_gives_the_mail_back_and_spends_no_try(system: Rig):
    env = rotated(system)
    after = rotated_web(system, env)
    system.wait_sent(after.register(_EMAIL).body["task_id"])  # needs no key, so the old worker sends it
    task = after.post("/api/auth/password/reset/", email=_EMAIL).body["task_id"]
    row = "SELECT state, spent, reason FROM outbox_intent WHERE task_id = %s AND attempts > 0 AND state = 'pending'"
    system.wait(lambda: system.rows(row, task), "the old worker gives it back")

    assert system.rows(row, task)[0][:2] == ("pending", 0)
    assert len(system.smtp.record.received) == 1  # the welcome mail alone

    system.retire(system.worker)
    system.add(Worker(env, system.logs, system.stack.redis, name="rotated"))
    system.wait_sent(task, _GIVEN_BACK_S + 20)
    code = delivered_code(system)
    assert after.post("/api/auth/password/reset/confirm/", email=_EMAIL, code=code, **_NEW).code == 200
    assert after.log_in(_EMAIL, _NEW["password"])
