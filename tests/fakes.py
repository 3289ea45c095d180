"""A transport without a provider: its outcomes are scripted."""

from collections import deque
from collections.abc import Callable

from outbox.messages import Mail
from outbox.outcomes import Delivered, GivenBack, Outcome, Phase, Reply
from outbox.transport import NOT_OURS, Permit

_AFTER_THE_PERMIT = {Phase.DATA, Phase.ANSWERED}
TAKEN = Delivered(phase=Phase.ANSWERED, reply=Reply(text="2.0.0 taken", code=250, enhanced="2.0.0"))


class FakeTransport:
    """Accepts every mail, except where `script` says otherwise; `away` is what each call ends in while it is set.

    transport = FakeTransport()
    transport.script("bad@example.org", Refused(…))            # then accepted
    Lanes(lambda: transport, count=1)
    """

    is_connected = False

    def __init__(self) -> None:
        self.accepted: list[Mail] = []
        self.away: Outcome | None = None
        self.probes = 0
        self.closings = 0
        self.during: Callable[[Mail], None] = lambda mail: None  # called with each mail before it is answered
        self._script: dict[str, deque[Outcome]] = {}

    def script(self, recipient: str, *outcomes: Outcome) -> None:
        """The next mails to this recipient end in these outcomes, one each."""
        self._script.setdefault(recipient, deque()).extend(outcomes)

    def deliver(self, mail: Mail, permit: Permit) -> Outcome:
        """The scripted outcome; the permit is asked if the dialogue gets as far as DATA."""
        if self.away is not None:
            return self.away
        planned = self._script.get(mail.recipient)
        outcome = planned.popleft() if planned else TAKEN
        if outcome.phase in _AFTER_THE_PERMIT and not permit():
            return GivenBack(phase=Phase.ENVELOPE, reply=NOT_OURS)
        self.during(mail)
        if isinstance(outcome, Delivered):
            self.accepted.append(mail)
        return outcome

    def probe(self) -> Outcome | None:
        """None unless away."""
        self.probes += 1
        return self.away

    def close(self) -> None:
        """Counted."""
        self.closings += 1
