"""After a fault: waits until every mail is closed, then compares what was promised with what the provider saw."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.load import Load
from tests.acceptance.rig import PROMPT_S, Rig

# How long until something that is waited for by rule: the breaker's next probe, or a mail's own backoff.
_WAITS = """
SELECT (SELECT count(*) FROM outbox_intent WHERE state IN ('pending', 'claimed', 'sending')),
  GREATEST(0, (SELECT extract(epoch FROM max(due_at) - now()) FROM outbox_intent WHERE state = 'pending'),
              (SELECT extract(epoch FROM max(probe_at) - now()) FROM outbox_provider))::float
"""
_LONGEST_S = 150  # waits that follow each other without end are no excuse
_OPEN = """
SELECT recipient, state, attempts, spent, (due_at - now())::text, reason FROM outbox_intent
WHERE state IN ('pending', 'claimed', 'sending') ORDER BY id LIMIT 5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What the database says of one mail."""

    recipient: str
    state: str
    message_id: str
    attempts: int
    maybe_sent: bool
    reason: str


def settle(system: Rig, *, more_s: float = 0) -> float:
    """Wait until every mail is closed; how many seconds that took.

    Raises:
        AssertionError: a mail is still open although nothing has stood in its way for `PROMPT_S` (and `more_s`).
    """
    started = free_since = time.monotonic()
    while True:
        system.supervisor.revive()
        [(still_open, wait)] = system.rows(_WAITS)
        now = time.monotonic()
        if not still_open:
            return now - started
        if wait > 0:
            free_since = max(free_since, now + wait)
        if now > min(free_since + PROMPT_S + more_s, started + _LONGEST_S):
            provider = system.rows("SELECT * FROM outbox_provider")
            left = f"{still_open} mails still open {now - started:.1f} s after the fault"
            raise AssertionError(f"{left}: {system.rows(_OPEN)}; provider: {provider}")
        time.sleep(0.05)


def audit(
    system: Rig, load: Load, *, copies_allowed: int | None = None, may_die: Callable[[str], bool] = lambda _: False
) -> Counter[str]:
    """Hold the database against the provider's own record; how many mails ended in which state.

    `copies_allowed` is by default what the design grants: one for each connection that was cut after DATA.

    Raises:
        AssertionError: something was lost, doubled without cause, sent without a user, or left in disorder.
    """
    mails = _mails(system)
    users = {email for (email,) in system.rows("SELECT email FROM auth_api_user")}
    recipients = Counter(mail.recipient for mail in mails)
    assert load.registered <= users, f"told 201, but unknown: {sorted(load.registered - users)[:5]}"
    assert users == recipients.keys(), f"user without mail or mail without user: {sorted(users ^ set(recipients))[:5]}"
    assert set(recipients.values()) <= {1}, f"several mails for one user: {recipients.most_common(3)}"
    _check_states(mails, may_die)
    _check_record(system, mails)
    _check_copies(system, copies_allowed)
    doctor = system.manage("outbox_doctor")
    assert doctor.returncode == 0, doctor.stderr
    return Counter(mail.state for mail in mails)


def copies(system: Rig) -> int:
    """How many mails the provider accepted beyond the first of each."""
    return sum(count - 1 for count in system.smtp.record.copies().values())


def _mails(system: Rig) -> list[Mail]:
    found = system.rows("SELECT recipient, state, message_id, attempts, maybe_sent, reason FROM outbox_intent")
    names = ("recipient", "state", "message_id", "attempts", "maybe_sent", "reason")
    return [Mail(**dict(zip(names, row, strict=True))) for row in found]


def _check_states(mails: list[Mail], may_die: Callable[[str], bool]) -> None:
    wrong = [mail for mail in mails if mail.state != "sent" and not (mail.state == "dead" and may_die(mail.recipient))]
    assert not wrong, f"{len(wrong)} were not sent: {wrong[:3]}"


def _check_record(system: Rig, mails: list[Mail]) -> None:
    accepted = {(message.message_id, to) for message in system.smtp.record.messages for to in message.recipients}
    owed = {(mail.message_id, mail.recipient) for mail in mails if mail.state == "sent"}
    possible = owed | {(mail.message_id, mail.recipient) for mail in mails if mail.maybe_sent}
    assert owed <= accepted, f"lost: {sorted(owed - accepted)[:5]}"
    assert accepted <= possible, f"sent, but the database knows nothing of it: {sorted(accepted - possible)[:5]}"


def _check_copies(system: Rig, allowed: int | None) -> None:
    if allowed is None:
        allowed = system.smtp.record.connections_cut_after_data
    assert copies(system) <= allowed, f"{copies(system)} copies, {allowed} allowed"
