"""The provider fails while people register: outages cost time only, and each mail ends as its answers say."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.acceptance.accounts import audit, copies, settle
from tests.acceptance.faults import Fault, Scale, under_load
from tests.acceptance.load import Load
from tests.acceptance.rig import ANSWER_TIMEOUT_S, Rig
from tests.smtp import AcceptThenDrop, Drop, Hang, Reply, Rule, Stage

_HANGING = [Rule(stage, Hang()) for stage in (Stage.CONNECT, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.ANSWER)]
_CLOSING = [Rule(stage, Reply(421, "4.3.2 going down")) for stage in (Stage.CONNECT, Stage.MAIL, Stage.RCPT)]
_SLOW_S = 0.7  # slow enough to keep more than three lanes busy
_LOWERED_S = 10  # for so long a process that was refused a connection may keep no lane at all
_NO_LOGIN = [Rule(Stage.AUTH, Reply(535, "5.7.8 wrong password"))]


def ruled(*rules: Rule) -> Fault:
    """A provider that follows these rules for a while."""

    def fault(system: Rig, seconds: float) -> None:
        for rule in rules:
            system.smtp.script.add(rule)
        lifted(*rules)(system, seconds)

    return fault


def lifted(*rules: Rule) -> Fault:
    """A provider that follows these rules already, and forgets them after a while."""

    def fault(system: Rig, seconds: float) -> None:
        system.watch(seconds)
        for rule in reversed(rules):  # nobody connects before all that follows a connection is good again
            system.smtp.script.remove(rule)

    return fault


def refusing(system: Rig, seconds: float) -> None:
    system.smtp.stop()
    system.watch(seconds)
    system.smtp.start()


@pytest.mark.parametrize("fault", [refusing, ruled(*_HANGING)], ids=["refusing", "hanging"])
def test_the_provider_goes_away(system: Rig, scale: Scale, fault: Fault):
    """Right after it accepted mails: for 10 s it looks as if it limited connections, then the breaker opens."""
    load = under_load(system, scale, fault)

    settle(system, more_s=ANSWER_TIMEOUT_S)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}


@pytest.mark.parametrize("rules", [_CLOSING, _NO_LOGIN], ids=["421", "login"])
def test_the_provider_is_away(system: Rig, scale: Scale, rules: Sequence[Rule]):
    """It has not accepted anything lately: the breaker opens at once, and nothing is spent."""
    for rule in rules:  # before anybody registers, for a mail that is let in first is spent when MAIL is answered 421
        system.smtp.script.add(rule)
    system.smtp.stop()  # nobody stays logged in
    system.smtp.start()
    load = under_load(system, replace(scale, before_s=0), lifted(*rules))

    assert "breaker_opened" in system.logged()
    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}
    assert system.one("SELECT max(spent) FROM outbox_intent") == 1


@pytest.mark.parametrize(
    "rules",
    [
        [Rule(Stage.RCPT, Reply(451, "4.3.0 later"), every=3)],
        [Rule(Stage.ANSWER, Reply(452, "4.2.2 later"), every=3)],
        [Rule(Stage.RCPT, Reply(450, "4.7.1 greylisted"), first=1, recipient=r"[02468]@")],
        [Rule(Stage.ANSWER, delay=0.7)],
    ],
    ids=["4xx for a third", "4xx after DATA for a third", "greylisting", "slow"],
)
def test_the_provider_hesitates(system: Rig, scale: Scale, rules: Sequence[Rule]):
    load = under_load(system, scale, ruled(*rules))

    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}
    assert copies(system) == 0


def test_the_provider_refuses_some_for_good(system: Rig, scale: Scale):
    def address(number: int) -> str:
        return f"{'bad' if number % 5 == 0 else 'good'}-{number}@example.com"

    rule = Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), recipient="^bad-")
    system.smtp.script.add(rule)

    load = under_load(system, scale, Rig.watch, Load(system.client, scale.rate, address))

    settle(system)
    states = audit(system, load, may_die=lambda recipient: recipient.startswith("bad-"))
    assert load.failed == []
    assert states["dead"] == sum(email.startswith("bad-") for email in load.registered)
    assert copies(system) == 0


@pytest.mark.parametrize("effect", [AcceptThenDrop(), Drop(reset=True)], ids=repr)
def test_the_provider_drops_a_tenth_after_data(system: Rig, scale: Scale, effect: AcceptThenDrop | Drop):
    load = under_load(system, scale, ruled(Rule(Stage.ANSWER, effect, every=10)))

    settle(system)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests)}
    assert copies(system) <= system.smtp.record.connections_died_after_data


def test_the_provider_allows_three_connections(system: Rig, scale: Scale):
    """Two processes with eight lanes each: all is delivered, and the breaker stays closed."""
    system.wait_sent(system.client.register("first@example.com").body["task_id"])
    limit = Rule(Stage.CONNECT, Reply(421, "4.7.0 too many connections"), parallel_above=3)
    for rule in (limit, Rule(Stage.ANSWER, delay=_SLOW_S)):
        system.smtp.script.add(rule)

    load = under_load(system, scale, Rig.watch)

    settle(system, more_s=_LOWERED_S + len(load.requests) * _SLOW_S)
    assert load.failed == []
    assert audit(system, load) == {"sent": len(load.requests) + 1}
    assert limit.applied, "the limit was not felt"
    assert "breaker_opened" not in system.logged()
    assert copies(system) == 0
