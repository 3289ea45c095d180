"""Our own processes die while people register: nothing is lost, and only what was in flight may come twice."""

import time
from functools import partial

from tests.acceptance.accounts import audit, copies, settle
from tests.acceptance.crew import Beat
from tests.acceptance.faults import Scale, killed_again_and_again, under_load
from tests.acceptance.leaks import Wiretap
from tests.acceptance.rig import Rig
from tests.smtp import Rule, Stage

worker_killed_every_3_s = partial(killed_again_and_again, every_s=3, name="worker", times=2)
beat_killed = partial(killed_again_and_again, every_s=4, name="beat")
web_killed = partial(killed_again_and_again, every_s=4, name="web")


def test_the_worker_is_killed_every_3_s(system: Rig, scale: Scale):
    system.smtp.script.add(Rule(Stage.ANSWER, delay=0.3))  # so that something is in flight when it dies

    load = under_load(system, scale, worker_killed_every_3_s)

    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}


def test_beat_is_killed(system: Rig, scale: Scale):
    load = under_load(system, scale, beat_killed)

    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}
    assert copies(system) == 0


def test_two_beats_and_three_workers(system: Rig, scale: Scale):
    system.add(Beat(system.env, system.logs, system.stack.redis))
    system.add(system.extra_worker("second"), system.extra_worker("third", "email"))

    with Wiretap(system) as wire:
        started = time.monotonic()
        load = under_load(system, scale, Rig.watch)
        seconds = time.monotonic() - started

    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}
    assert copies(system) == 0
    ticks = sum(line.startswith("LPUSH") and '"celery_beat_task": true' in line for line in wire.heard.splitlines())
    assert ticks < seconds + 3, f"{ticks} ticks in {seconds:.0f} s: one of two beats fires"


def test_the_web_server_is_killed(system: Rig, scale: Scale):
    load = under_load(system, scale, web_killed)
    system.wait(lambda: system.client.get("/healthz").code == 200, "the web server is back")

    settle(system)
    audit(system, load)
    assert load.failed, "the fault was not felt"
    assert {request.code for request in load.failed} == {0}
    assert copies(system) == 0


def test_everything_is_killed_at_once(system: Rig, scale: Scale):
    system.smtp.script.add(Rule(Stage.ANSWER, delay=0.2))

    def everything(system: Rig, seconds: float) -> None:
        for program in (system.web, system.worker, system.beat):
            system.end(program)
        system.stack.redis.kill()
        system.stack.postgres.kill()
        system.pause(seconds / 2)
        system.stack.redis.start()
        system.start_postgres()
        system.wait(lambda: system.client.get("/readyz").code == 200, "the web server is back")

    load = under_load(system, scale, everything)

    settle(system)
    audit(system, load)
    assert len(load.registered) > scale.rate * scale.before_s / 2
