"""Celery answers who asks it; Flower shows its tasks; a task that comes too late sends nothing."""

import json
import socket
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from ops.dev.programs import Flower
from outbox.tasks import TICK_EXPIRES_S
from tests.acceptance.broker import expires_at, send_tasks
from tests.acceptance.client import Client
from tests.acceptance.rig import PATIENT, Rig
from tests.smtp import Gate

_NUMBERS = count(1)


def fresh_address() -> str:
    return f"celery-{next(_NUMBERS)}@example.com"


def inspected(system: Rig, what: str, *words: str) -> Any:
    """What the only worker answers."""
    done = system.python("-m", "celery", "-A", "core", "inspect", what, "--json", *words)
    assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout).values()
    return answer


def test_celery_inspect_answers(system: Rig):
    name = f"{system.worker.name}@{socket.gethostname()}"  # named, it need not be waited for longer than it takes

    registered = inspected(system, "registered", "-d", name, "--timeout", "10")
    active = inspected(system, "active", "-d", name, "--timeout", "10")
    stats = inspected(system, "stats", "--timeout", "2")

    assert {"outbox.dispatch", "outbox.send", "outbox.probe"} <= set(registered)
    assert isinstance(active, list)
    assert stats["pool"]["max-concurrency"] == 2


def test_inspect_shows_the_mail_in_flight(system: Rig):
    system.retire(system.worker)
    system.add(system.extra_worker("patient", **PATIENT))
    gate = system.gate()
    system.client.register(fresh_address())
    system.wait(gate.arrived.is_set, "the mail is in flight")

    active = inspected(system, "active", "--timeout", "2")

    assert "outbox.send" in {task["name"] for task in active}


def test_flower_starts_answers_and_shows_the_tasks(system: Rig):
    flower = Flower(system.env, system.logs)
    system.add(flower)
    site = Client("127.0.0.1", flower.port)

    def shown() -> list[dict[str, str]]:
        query = "draw=1&start=0&length=100&search[value]=&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
        tasks: list[dict[str, str]] = site.get(f"/tasks/datatable?{query}").body.get("data", [])
        return tasks

    system.wait(lambda: site.get("/workers?json=1").body.get("data"), "Flower sees the worker")
    system.wait_sent(system.client.register(fresh_address()).body["task_id"])

    assert site.get("/").code == 200
    system.wait(lambda: any(t["name"] == "outbox.dispatch" and t["state"] == "SUCCESS" for t in shown()), "ticks")
    system.wait(lambda: any(t["name"] == "outbox.send" and t["state"] == "SUCCESS" for t in shown()), "a send task")


def test_a_task_with_an_old_token_sends_nothing(system: Rig):
    """Two workers, so that dispatch goes on while nobody takes send tasks."""
    system.retire(system.worker)
    dispatching = system.extra_worker("dispatching", "outbox")
    system.add(dispatching)
    email = fresh_address()
    task = system.client.register(email).body["task_id"]
    broker = system.redis()
    system.wait(lambda: send_tasks(broker), "the claim is handed over")
    [late] = send_tasks(broker)
    assert timedelta() < expires_at(late) - datetime.now(UTC) <= timedelta(seconds=TICK_EXPIRES_S)
    old = system.one("SELECT lease_token FROM outbox_intent WHERE task_id = %s", task)
    system.wait(
        lambda: system.one("SELECT lease_token FROM outbox_intent WHERE task_id = %s", task) not in {old, None},
        "the lease ran out and went to another claim",
    )
    broker.delete("email")  # only the late one is to come
    gate: Gate = system.gate()
    sending = system.extra_worker("sending", "email")
    system.add(sending)
    system.wait(lambda: broker.llen("email") == 0, "nothing is left over")
    system.wait(gate.arrived.is_set, "the present holder sends")
    lost = sending.child.output().count("lease_lost") if sending.child else 0

    broker.lpush("email", late)

    system.wait(lambda: sending.child and sending.child.output().count("lease_lost") > lost, "the late task gives up")
    assert len(system.smtp.record.received) == 1
    gate.release()
    system.wait_sent(task)
    assert len(system.smtp.record.accepted_for(email)) == 1
    assert system.one("SELECT attempts FROM outbox_intent WHERE task_id = %s", task) == 1
