"""`ops/demo`: starts the system, goes through the scenario, shows what it left, and perhaps stays up."""

import secrets
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from ops.dev import interrupts
from ops.dev.options import DemoOptions
from ops.dev.scenario import Scenario
from ops.dev.screen import Screen, StepFailedError
from ops.dev.services import NotStartedError
from ops.dev.system import System, running_system, save_mails

_TITLE = "A transactional outbox for mail: PostgreSQL holds the truth, Redis is a shortcut to it."
_ADMIN = "admin@example.com"
_COLUMNS = ("kind", "recipient", "language", "state", "attempts", "enqueued", "sent after", "reason")
_ROWS = """
SELECT kind, recipient, language, state, attempts::text, to_char(created_at, 'HH24:MI:SS'),
       coalesce(round(extract(epoch FROM closed_at - created_at)::numeric, 2) || ' s', ''), left(reason, 40)
FROM outbox_intent ORDER BY id
"""


def main(options: DemoOptions) -> int:
    """Run it and return the exit code: 0 only if every step happened."""
    interrupts.listen()
    screen = Screen()
    try:
        return _show(options, screen)
    except interrupts.InterruptedBySignal as cause:
        screen.line(f"\nInterrupted ({cause}); everything was stopped.")
        return cause.exit_code
    except (StepFailedError, NotStartedError, OSError) as error:
        print(f"\nops/demo failed: {error}", file=sys.stderr, flush=True)
        return 1


def _show(options: DemoOptions, screen: Screen) -> int:
    screen.line(_TITLE)
    with running_system(screen) as system:
        try:
            Scenario(system, screen).run()
            _show_rows(system, screen)
        except Exception:
            print(f"\n{system.keeper.last_words()}", file=sys.stderr, flush=True)
            raise
        _keep_mails(system, screen, options.mails)
        screen.line(f"All {screen.steps} steps happened, in {time.monotonic() - screen.started:.1f} s.")
        if options.serve:
            _serve(system, screen)
    return 0


def _show_rows(system: System, screen: Screen) -> None:
    with psycopg.connect(system.stack.postgres.url) as connection:
        rows: list[tuple[str, ...]] = connection.execute(_ROWS).fetchall()
    screen.line()
    screen.table("The outbox", _COLUMNS, rows)
    if not rows or any(row[3] != "sent" for row in rows):
        raise StepFailedError("not every mail was sent")


def _keep_mails(system: System, screen: Screen, folder: Path) -> None:
    """Leave the mails as files; where the project is read-only, in a folder of their own."""
    mails = system.page.messages()
    try:
        save_mails(mails, folder)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="demo-mails-"))
        save_mails(mails, folder)
    screen.line(f"\n{len(mails)} mails, as HTML files: {folder}")


def _serve(system: System, screen: Screen) -> None:
    """Stay up until a signal, which is the way to end this and no failure."""
    password = secrets.token_urlsafe(9)
    screen.heading("Stay up")
    try:
        with screen.step("Create a login for the admin"):
            words = ("createsuperuser", "--noinput", "--email", _ADMIN, "--name", "Admin")
            system.manage(*words, DJANGO_SUPERUSER_PASSWORD=password)
        with screen.step("Start Flower"):
            flower = system.start_flower()
        site = system.web.site.url
        screen.line(f"\n  API docs  {site}/api/docs/")
        screen.line(f"  Admin     {site}/admin/   {_ADMIN}  {password}")
        screen.line(f"  Inbox     {system.page.url}")
        screen.line(f"  Flower    {flower.url}")
        screen.line("\nCtrl-C ends everything.")
        while True:
            system.keeper.revive()
            time.sleep(0.5)
    except interrupts.InterruptedBySignal:
        screen.line("\nStopping …")
