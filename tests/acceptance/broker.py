"""What waits in the broker."""

import base64
import json
from datetime import datetime

from redis import Redis


def send_tasks(broker: Redis) -> dict[bytes | str, set[int]]:
    """The send tasks that wait, and the ids of the intents that each claims; a nudge claims none and is left out."""
    found = {message: _claimed(message) for message in broker.lrange("email", 0, -1)}
    return {message: ids for message, ids in found.items() if ids}


def expires_at(message: bytes | str) -> datetime:
    """After this no worker runs the task."""
    return datetime.fromisoformat(json.loads(message)["headers"]["expires"])


def _claimed(message: bytes | str) -> set[int]:
    arguments = json.loads(base64.b64decode(json.loads(message)["body"]))[0]
    return {intent_id for intent_id, _ in arguments[0]} if arguments else set()
