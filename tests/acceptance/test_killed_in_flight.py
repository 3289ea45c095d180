"""A worker process dies with a mail in its hands: another one sends it, as the same mail."""

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.acceptance import hanging
from tests.acceptance.broker import send_tasks
from tests.acceptance.crew import Worker
from tests.acceptance.rig import LEASE_S, PATIENT, Rig

_NUMBERS = count(1)
_LOST = """
SELECT outcome, attempt.worker FROM outbox_attempt AS attempt JOIN outbox_intent AS intent ON intent.id = intent_id
WHERE task_id = %s ORDER BY number
"""


def whole_worker(system: Rig) -> None:
    """Celery's main process and its pool at once: the machine lost power."""
    system.end(system.worker)


def pool_only(system: Rig) -> None:
    """The processes of the pool; Celery itself notices and forks others."""
    for pid in pool_of(system.worker):
        os.kill(pid, signal.SIGKILL)


def pool_of(worker: Worker) -> set[int]:
    assert worker.child
    main = worker.child.pid
    return {int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()}


@pytest.mark.parametrize("kill", [whole_worker, pool_only])
def test_a_mail_in_flight_is_sent_again_by_another_process(system: Rig, kill: Callable[[Rig], None]):
    email = f"in-flight-{next(_NUMBERS)}@example.com"
    gate = system.gate(email)
    task = system.client.register(email).body["task_id"]
    system.wait(gate.arrived.is_set, "DATA is with the provider")
    lease_until = system.one("SELECT extract(epoch FROM lease_until) FROM outbox_intent WHERE task_id = %s", task)

    kill(system)
    system.smtp.script.clear()

    system.wait_sent(task)
    first, second = system.smtp.record.accepted_for(email)
    assert first.message_id == second.message_id
    assert first.connection != second.connection
    assert second.wall > float(lease_until) - LEASE_S  # at the earliest when the lease, however renewed, ran out
    assert system.smtp.record.connections_died_after_data == 1
    lost, delivered = system.rows(
        "SELECT number, outcome, phase, worker, text FROM outbox_attempt"
        " WHERE intent_id = (SELECT id FROM outbox_intent WHERE task_id = %s) ORDER BY number",
        task,
    )
    assert lost[:3] == (1, "unknown", "data")
    assert "lease" in lost[4]
    assert delivered[:3] == (2, "delivered", "answered")
    assert lost[3] != delivered[3]
    token = system.client.log_in(email)
    assert system.client.get(f"/api/outbox/{task}/", token).body["task"]["attempts"] == 2


def test_the_mail_is_not_sent_again_before_the_lease_ran_out(system: Rig):
    system.add(system.standby())  # there at once, while a worker that is restarted takes its time
    email = f"in-flight-{next(_NUMBERS)}@example.com"
    gate = system.gate(email)
    task = system.client.register(email).body["task_id"]
    system.wait(gate.arrived.is_set, "DATA is with the provider")
    killed_at = time.time()

    system.end(system.worker)
    held_until = float(system.one("SELECT extract(epoch FROM lease_until) FROM outbox_intent WHERE task_id = %s", task))
    system.smtp.script.clear()

    system.wait_sent(task)
    _, second = system.smtp.record.accepted_for(email)
    assert killed_at < held_until <= second.wall


def test_sigterm_lets_the_mail_in_flight_finish(system: Rig):
    email = f"in-flight-{next(_NUMBERS)}@example.com"
    gate = system.gate(email)
    task = system.client.register(email).body["task_id"]
    system.wait(gate.arrived.is_set, "DATA is with the provider")
    child = system.worker.child
    assert child

    child.ask_to_stop()
    still_there = child.wait(1.0) is None
    gate.release()

    assert still_there
    assert child.wait(15) == 0
    assert system.state(task) == "sent"
    assert system.one("SELECT attempts FROM outbox_intent WHERE task_id = %s", task) == 1
    assert len(system.smtp.record.accepted_for(email)) == 1
    assert system.smtp.record.connections_died_after_data == 0


def test_sigterm_leaves_nothing_half_done(system: Rig):
    """The first mails hold all lanes. What is still claimed when the worker has ended lies in the broker."""
    worker = system.extra_worker("patient", **PATIENT)
    system.retire(system.worker)
    system.add(worker)
    gate = system.gate()
    tasks = [system.client.register(f"held-{number}@example.com").body["task_id"] for number in range(24)]
    system.wait(gate.arrived.is_set, "mails are in flight")
    child = worker.child
    assert child
    system.supervisor.programs.remove(worker)

    child.ask_to_stop()
    time.sleep(0.5)  # nothing is to happen that could be waited for
    gate.release()

    assert child.wait(15) == 0
    states = dict(system.rows("SELECT state, count(*) FROM outbox_intent GROUP BY state"))
    assert states.pop("sent") == system.one("SELECT sum(attempts) FROM outbox_intent")
    assert states.keys() <= {"pending", "claimed"}
    claimed = {row[0] for row in system.rows("SELECT id FROM outbox_intent WHERE state = 'claimed'")}
    assert claimed <= handed_over(system)
    system.add(system.worker)
    for task in tasks:
        system.wait_sent(task)
    assert set(system.smtp.record.copies().values()) == {1}


def test_a_mail_that_hangs_past_every_deadline_ends_its_process_and_keeps_no_other_mail(system: Rig):
    """Nothing can end a thread: what else the process has lands first, then the pool starts another one."""
    system.retire(system.worker)
    backend, times = f"{hanging.__name__}.EmailBackend", {"OUTBOX_ANSWER_TIMEOUT": "1s", "OUTBOX_DEADLINE": "2s"}
    worker = system.extra_worker("hanging", EMAIL_BACKEND=backend, **times)
    system.add(worker)
    at_first = pool_of(worker)

    hung = system.client.register(f"{hanging.PREFIX}{next(_NUMBERS)}@example.com").body["task_id"]
    system.wait(lambda: system.state(hung) == "sending", "it hangs")
    system.wait_sent(system.client.register(f"beside-{next(_NUMBERS)}@example.com").body["task_id"])

    system.wait(lambda: at_first - pool_of(worker), "its process ends")
    assert worker.child
    assert "a mail hangs; this process ends" in worker.child.output()
    system.wait_sent(system.client.register(f"after-{next(_NUMBERS)}@example.com").body["task_id"])
    system.wait(lambda: system.rows(_LOST, hung), "the rescuer takes it back")
    assert system.rows(_LOST, hung)[0] == ("unknown", "rescuer")


def handed_over(system: Rig) -> set[int]:
    """The ids that wait in the broker's queue."""
    return set().union(*send_tasks(system.redis()).values())
