"""The whole system, running: servers, an inbox as the provider of mail, and the project's own processes."""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.dev.child import Child, Order
from ops.dev.inbox import InboxPage, SmtpInbox
from ops.dev.place import HOST, clean_environment
from ops.dev.programs import Beat, Flower, Keeper, Web, Worker
from ops.dev.screen import Screen, StepFailedError
from ops.dev.services import last_lines, wait_until
from ops.dev.stack import Stack, running_stack

_SECONDS = 60  # for anything to happen; the outages end long before
_MANAGE_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that runs, and what one does with it."""

    stack: Stack
    smtp: SmtpInbox
    page: InboxPage
    keeper: Keeper
    env: dict[str, str]
    web: Web
    worker: Worker
    beat: Beat
    _seen: set[str] = field(default_factory=set)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = _SECONDS) -> None:
        """Wait for the condition, restarting meanwhile what ended.

        Raises:
            StepFailedError: it did not come to hold in time.
        """

        def holds() -> object:
            self.keeper.revive()
            return condition()

        if not wait_until(holds, seconds, every=0.05):
            raise StepFailedError(f"{what}: not within {seconds:.0f} s")

    def next_mail(self, address: str) -> dict[str, Any]:
        """Wait for a mail to the address that was not returned before.

        Raises:
            StepFailedError: none came.
        """
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            found[:] = [m for m in self.page.messages() if address in m["to"] and m["id"] not in self._seen]
            return bool(found)

        self.wait(has_come, f"a mail to {address}")
        self._seen.add(found[-1]["id"])  # the oldest of the new ones
        return found[-1]

    def manage(self, *words: str, **env: str) -> None:
        """Run `manage.py` to its end.

        Raises:
            StepFailedError: it failed; the text has its last lines.
        """
        log = self.stack.place.folder / f"manage-{words[0]}.log"
        child = Child(Order(argv=[sys.executable, "manage.py", *words], env={**self.env, **env}, log=log))
        try:
            child.start()
            code = child.wait(_MANAGE_SECONDS)
        finally:
            child.stop()
        if code != 0:
            raise StepFailedError(f"manage.py {words[0]} ended with {code}:\n{last_lines(child.output())}")

    def start_flower(self) -> Flower:
        """Start Flower beside the rest."""
        flower = Flower(self.env, self.stack.place.folder)
        self.keeper.start(flower)
        return flower


@contextmanager
def running_system(screen: Screen) -> Iterator[System]:
    """The system, up inside the block, each start a step on the screen; at its end all of it is gone."""
    with ExitStack() as ends:
        with screen.step("Start PostgreSQL and Redis"):
            stack = ends.enter_context(running_stack())
        with screen.step("Start the SMTP inbox"):
            smtp, page = _running_inbox(stack, ends)
        system = _assembled(stack, smtp, page)
        ends.callback(system.keeper.stop)
        with screen.step("Create the tables"):
            system.manage("migrate", "--verbosity", "0")
        with screen.step("Start web server, worker and beat"):
            system.keeper.start(system.web, system.worker, system.beat)
        yield system


def _running_inbox(stack: Stack, ends: ExitStack) -> tuple[SmtpInbox, InboxPage]:
    mails = stack.place.folder / "mails"
    mails.mkdir()
    smtp, page = SmtpInbox(mails, stack.place.folder), InboxPage(mails, stack.place.folder)
    for part in (smtp, page):
        ends.callback(part.stop)
        part.begin()
    smtp.finish()
    page.finish()
    return smtp, page


def _assembled(stack: Stack, smtp: SmtpInbox, page: InboxPage) -> System:
    env, folder = _environment(stack, smtp), stack.place.folder
    return System(
        stack=stack,
        smtp=smtp,
        page=page,
        keeper=Keeper(),
        env=env,
        web=Web(env, folder),
        worker=Worker(env, folder, stack.redis),
        beat=Beat(env, folder, stack.redis),
    )


def _environment(stack: Stack, smtp: SmtpInbox) -> dict[str, str]:
    """What the project's processes are told: but for DEBUG and backoff the defaults of production."""
    return clean_environment(
        SECRET_KEY=secrets.token_urlsafe(50),
        DEBUG="1",  # pages over plain HTTP, with their static files
        DATABASE_URL=stack.postgres.url,
        REDIS_URL=stack.redis.url,
        EMAIL_HOST=HOST,
        EMAIL_PORT=str(smtp.port),
        DEFAULT_FROM_EMAIL="Accounts <noreply@example.com>",
        OUTBOX_BACKOFF="2s",
        PYTHONUNBUFFERED="1",
    )


def save_mails(mails: list[dict[str, Any]], folder: Path) -> None:
    """Write the HTML of each mail as a file, oldest first, in place of those of an earlier run.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9]-*.html"):
        old.unlink()
    for number, mail in enumerate(reversed(mails), start=1):
        person = "".join(letter for letter in mail["to"][0].partition("@")[0] if letter.isalnum())
        (folder / f"{number:02}-{person}.html").write_text(mail["html"], encoding="utf-8")
