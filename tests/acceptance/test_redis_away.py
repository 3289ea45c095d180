"""Redis is stopped or hangs: whoever registers does not notice, and the mail goes out when it is back."""

from collections.abc import Callable, Iterator
from itertools import count
from statistics import median

import pytest

from tests.acceptance.client import Answer
from tests.acceptance.rig import PROMPT_S, Rig

_NUMBERS = count(1)
_MEASURED = 30
_SLOWER_S = 0.020


def register(system: Rig, times: int) -> dict[str, Answer]:
    client = system.client
    addresses = [f"patient-{next(_NUMBERS)}@example.com" for _ in range(times)]
    return {address: client.register(address) for address in addresses}


def seconds(answers: dict[str, Answer]) -> float:
    """The median."""
    return median(answer.seconds for answer in answers.values())


def stop(system: Rig) -> Iterator[None]:
    system.stack.redis.stop()
    yield
    system.stack.redis.start()  # empty


def hang(system: Rig) -> Iterator[None]:
    system.stack.redis.pause()
    yield
    system.stack.redis.resume()


@pytest.mark.parametrize("fault", [stop, hang])
def test_register_is_as_fast_as_ever_and_the_mail_goes_out_later(system: Rig, fault: Callable[[Rig], Iterator[None]]):
    register(system, 5)  # warm
    usual = register(system, _MEASURED)
    outage = fault(system)
    next(outage)
    during = register(system, _MEASURED)
    next(outage, None)
    system.wait(system.stack.redis.clients, "Redis answers")
    afterwards = register(system, _MEASURED)

    assert {answer.code for answer in (*usual.values(), *during.values(), *afterwards.values())} == {201}
    usual_s = max(seconds(usual), seconds(afterwards))  # a machine that grows busy meanwhile is no slower system
    during_s = seconds(during)
    assert during_s - usual_s < _SLOWER_S, f"usually {usual_s * 1000:.1f} ms, then {during_s * 1000:.1f} ms"
    assert max(answer.seconds for answer in during.values()) < 1
    for address, answer in during.items():
        system.wait_sent(answer.body["task_id"], PROMPT_S)
        assert len(system.smtp.record.accepted_for(address)) == 1


def test_the_schedule_is_back_after_redis_came_back_empty(system: Rig):
    system.wait(lambda: system.rows("SELECT 1 FROM outbox_provider"), "ticks come")

    system.stack.redis.kill()
    system.stack.redis.start()
    back = system.one("SELECT now()")

    system.wait(lambda: system.rows("SELECT 1 FROM outbox_provider WHERE ticked_at > %s", back), "ticks come again")
