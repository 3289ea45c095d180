"""Redis fails while people register: nobody notices, nothing is lost, nothing is sent twice."""

import time

import pytest

from tests.acceptance.accounts import audit, copies, settle
from tests.acceptance.faults import Fault, Scale, under_load
from tests.acceptance.rig import Rig

_SLOW_S = 2.0  # a request that waited for Redis would take its timeout


def down(system: Rig, seconds: float) -> None:
    system.stack.redis.stop()
    system.watch(seconds)
    system.stack.redis.start()


def killed_and_back_empty(system: Rig, seconds: float) -> None:
    system.stack.redis.kill()
    system.watch(seconds / 4)
    system.stack.redis.start()


def flushed(system: Rig, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        system.redis().flushall()
        system.watch(0.3)


def hanging(system: Rig, seconds: float) -> None:
    system.stack.redis.pause()
    system.watch(seconds)
    system.stack.redis.resume()


def full(system: Rig, seconds: float) -> None:
    system.redis().config_set("maxmemory", "1")
    system.watch(seconds)
    system.redis().config_set("maxmemory", "0")


@pytest.mark.parametrize("fault", [down, killed_and_back_empty, flushed, hanging, full])
def test_redis_fails(system: Rig, scale: Scale, fault: Fault):
    load = under_load(system, scale, fault)

    settle(system)
    states = audit(system, load)

    assert load.failed == []
    assert max(request.seconds for request in load.requests) < _SLOW_S, load.summary()
    assert states == {"sent": len(load.requests)}
    assert copies(system) == 0


def test_a_reset_code_arrives_within_15_s_while_redis_is_gone_for_good(system: Rig):
    system.add(system.standby())
    email = "patient@example.com"
    system.wait_sent(system.client.register(email).body["task_id"])
    system.stack.redis.kill()
    system.watch(1)  # the worker's last slice ends

    asked = system.client.post("/api/auth/password/reset/", email=email)

    assert asked.code == 202
    system.wait_sent(asked.body["task_id"], 15)
    assert len(system.smtp.record.accepted_for(email)) == 2


def test_a_reset_code_arrives_within_15_s_by_the_standby_alone(system: Rig):
    system.add(system.standby())
    email = "patient@example.com"
    system.wait_sent(system.client.register(email).body["task_id"])
    system.retire(system.worker, system.beat)

    asked = system.client.post("/api/auth/password/reset/", email=email)

    assert asked.code == 202
    system.wait_sent(asked.body["task_id"], 15)
    [attempt] = system.rows(
        "SELECT worker FROM outbox_attempt WHERE intent_id = (SELECT id FROM outbox_intent WHERE task_id = %s)",
        asked.body["task_id"],
    )
    assert attempt[0].startswith("standby ")
