"""PostgreSQL goes away under every process: they come back by themselves, and what was promised is kept."""

import pytest

from ops.dev.stack import Postgres
from tests.acceptance.accounts import audit, copies, settle
from tests.acceptance.faults import Scale, under_load
from tests.acceptance.rig import PATIENT, Rig
from tests.smtp import Rule, Stage

_ENDS = [Postgres.stop, Postgres.kill]  # a fast stop, and SIGKILL


@pytest.mark.parametrize("end", _ENDS)
def test_postgres_goes_away(system: Rig, scale: Scale, end):
    system.smtp.script.add(Rule(Stage.ANSWER, delay=0.2))  # so that answers come while it is away
    in_flight = 0

    def goes_away(system: Rig, seconds: float) -> None:
        nonlocal in_flight
        in_flight = system.smtp.record.parallel_connections
        end(system.stack.postgres)
        system.watch(seconds / 3)
        system.start_postgres()

    load = under_load(system, scale, goes_away)

    settle(system)
    audit(system, load, copies_allowed=system.smtp.record.connections_cut_after_data + in_flight)
    assert load.failed, "the fault was not felt"
    assert {request.code for request in load.failed} <= {0, 500, 503}


@pytest.mark.parametrize("end", _ENDS)
def test_an_answer_that_could_not_be_recorded_is_recorded_later(system: Rig, end):
    """With the lease of production: for so long after its start PostgreSQL may need to let the worker in again."""
    system.retire(system.worker)
    system.add(system.extra_worker("leased", OUTBOX_LEASE="10s", **PATIENT))
    gate = system.gate()
    task = system.client.register("recorded-later@example.com").body["task_id"]
    system.wait(gate.arrived.is_set, "DATA is with the provider")

    end(system.stack.postgres)
    gate.release()
    system.watch(1)
    system.start_postgres()

    system.wait_sent(task)
    assert copies(system) == 0
    assert system.one("SELECT attempts FROM outbox_intent WHERE task_id = %s", task) == 1


def test_the_standby_outlives_postgres_too(system: Rig):
    standby = system.standby()
    system.add(standby)
    system.retire(system.worker)
    child = standby.child
    assert child

    system.stack.postgres.kill()
    system.watch(1)
    system.start_postgres()

    task = system.client.register("standing-by@example.com").body["task_id"]
    system.wait_sent(task)
    assert child.is_running
