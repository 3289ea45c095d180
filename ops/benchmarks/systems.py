"""The systems compared: how each is given a backlog, and which processes work it off."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ops.benchmarks.rig import Rig
from ops.dev.child import Child

_WORKER = ("worker", "-c", "2", "--loglevel", "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """`backlog` is how many mails make a run of some seconds; `uses_database` whose CPU counts beside its own."""

    name: str
    backlog: int
    fill: Callable[[Rig, int], None]
    start: Callable[[Rig, int], list[Child]]
    uses_postgres: bool = False
    uses_redis: bool = False


def _fill_ours(rig: Rig, count: int) -> None:
    rig.run(rig.environment(), "-m", "ops.benchmarks.fill", str(count))


def start_ours(rig: Rig, _count: int = 0, *, processes: int = 2, **env: str) -> list[Child]:
    """A worker with two processes, and beat, all with default settings."""
    settings = rig.environment(**env)
    worker = ("worker", "-Q", "outbox,email", "-c", str(processes), "--loglevel", "INFO")
    return [
        rig.child("worker", settings, "-m", "celery", "-A", "core", *worker),
        rig.child("beat", settings, "-m", "celery", "-A", "core", "beat", "--loglevel", "INFO"),
    ]


def _start_loops(rig: Rig, count: int) -> list[Child]:
    env, half = rig.rivals_environment("loop"), count // 2
    loops = [("0", str(half)), (str(half), str(count - half))]
    return [rig.child(f"loop{first}", env, "-m", "ops.benchmarks.rivals.loop", first, size) for first, size in loops]


def _filler(app: str, **env: str) -> Callable[[Rig, int], None]:
    def fill(rig: Rig, count: int) -> None:
        rig.run(rig.rivals_environment(app, **env), "-m", "ops.benchmarks.rivals.fill", str(count))

    return fill


def _celery(app: str) -> Callable[[Rig, int], list[Child]]:
    def start(rig: Rig, _count: int) -> list[Child]:
        env = rig.rivals_environment(app)
        return [rig.child(app, env, "-m", "celery", "-A", "ops.benchmarks.rivals.celery", *_WORKER)]

    return start


def _command(app: str, *words: str) -> Callable[[Rig, int], list[Child]]:
    def start(rig: Rig, _count: int) -> list[Child]:
        return [rig.child(app, rig.rivals_environment(app), "-m", "django", *words)]

    return start


OURS = System(name="outbox", backlog=10000, fill=_fill_ours, start=start_ours, uses_postgres=True, uses_redis=True)
OURS_16 = replace(OURS, name="outbox, 16 lanes", start=lambda rig, _count: start_ours(rig, OUTBOX_LANES="16"))
BARE = System(name="bare loop, 2 processes", backlog=4000, fill=lambda _rig, _count: None, start=_start_loops)
NAIVE = System(name="Celery task per mail", backlog=1500, fill=_filler("task"), start=_celery("task"), uses_redis=True)
CELERY_EMAIL = System(
    name="django-celery-email",
    backlog=3000,
    fill=_filler("celery_email"),
    start=_celery("celery_email"),
    uses_redis=True,
)
MAILER = System(
    name="django-mailer",
    backlog=800,
    fill=_filler("mailer"),
    start=_command("mailer", "send_mail"),
    uses_postgres=True,
)
_SEND_QUEUED = _command("post_office", "send_queued_mail", "--processes", "2")
POST_OFFICE = System(
    name="django-post_office", backlog=4000, fill=_filler("post_office"), start=_SEND_QUEUED, uses_postgres=True
)
POST_OFFICE_EARLY = System(
    name="django-post_office, rendered when asked for",
    backlog=4000,
    fill=_filler("post_office", BENCHMARK_EARLY="1"),
    start=_SEND_QUEUED,
    uses_postgres=True,
)
ALL = (OURS, OURS_16, BARE, POST_OFFICE_EARLY, POST_OFFICE, CELERY_EMAIL, NAIVE, MAILER)
