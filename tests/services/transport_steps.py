"""What the tests of the transport say and look at."""

from outbox.outcomes import Outcome, Phase
from outbox.transport import Permit, Transport
from tests.contracts import a_mail

CONNECT, AUTHENTICATE, ENVELOPE, DATA, ANSWERED = Phase
TO = "to@example.org"
SHORT = 0.6  # seconds; the patience of the tests in which the server hangs


def yes() -> bool:
    """A permit that is given."""
    return True


def no() -> bool:
    """A permit that is not."""
    return False


def deliver(by: Transport, to: str = TO, *, number: int = 1, permit: Permit = yes) -> Outcome:
    """Deliver a mail by this transport."""
    return by.deliver(a_mail(to, number=number), permit)


def assert_ended(ended: Outcome | None, outcome: type, phase: Phase, code: int | None = None, enhanced: str = ""):
    """The outcome, phase and codes are these, and there is a text."""
    assert ended is not None
    assert type(ended) is outcome, ended
    assert ended.phase is phase
    assert (ended.reply.code, ended.reply.enhanced) == (code, enhanced)
    assert ended.reply.text
