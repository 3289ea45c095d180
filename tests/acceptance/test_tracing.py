"""One search in the logs follows a mail from the request that asked for it to the provider's answer."""

import json
from dataclasses import replace

from tests.acceptance.rig import Rig

_ID = "checkout-7-of-tuesday"
_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def lines_with(system: Rig, word: str) -> dict[str, dict[str, object]]:
    """The log lines of all processes that hold the word, by their event."""
    found = [json.loads(line) for line in system.logged().splitlines() if word in line]
    return {str(line["event"]): line for line in found}


def test_one_search_finds_the_request_the_mail_and_the_answer(system: Rig):
    client = replace(system.client, headers={"X-Request-ID": _ID, "traceparent": _PARENT})

    task = client.register("traced@example.com").body["task_id"]
    system.wait(lambda: "attempt_ended" in lines_with(system, _ID), "the worker tells how it ended")

    told = lines_with(system, _ID)
    assert set(told) == {"request_finished", "intent_enqueued", "attempt_ended"}
    assert (told["request_finished"]["route"], told["request_finished"]["code"]) == ("api/auth/register/", 201)
    ended = told["attempt_ended"]
    assert (ended["task_id"], ended["phase"], ended["code"], ended["state"]) == (task, "answered", "250", "sent")
    assert ended["traceparent"] == _PARENT
    assert "traced@example.com" not in system.logged()
