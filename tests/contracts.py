"""What every transport must do, whatever it talks to; a subclass per transport runs it."""

from typing import Protocol

import pytest

from outbox.messages import Mail
from outbox.outcomes import Deferred, Delivered, GivenBack, Outcome, Phase, Refused, Unavailable
from outbox.transport import Transport

DATA = b"Message-ID: <%s@example.com>\r\nSubject: hello\r\n\r\nfirst line\r\n.a line with a dot\r\n"


def a_mail(to: str = "to@example.org", *, number: int = 1) -> Mail:
    """A finished mail; mails of different numbers have different Message-IDs."""
    name = b"number-%d" % number
    return Mail(
        sender="noreply@example.com", recipient=to, message_id=f"<{name.decode()}@example.com>", data=DATA % name
    )


class Provider(Protocol):
    """A provider under the test's command, and the transport that talks to it."""

    transport: Transport

    def refuse(self, recipient: str) -> None:
        """From now on, for good."""

    def defer(self, recipient: str) -> None:
        """The next mail only."""

    def go_away(self) -> None:
        """Nobody can connect."""

    def come_back(self) -> None:
        """All is well again."""

    def accepted(self) -> list[tuple[str, bytes]]:
        """Recipient and octets of every mail it has, in order."""


class Permits:
    """A permit that remembers how many mails the provider had whenever it was asked."""

    def __init__(self, provider: Provider, *, given: bool) -> None:
        self.asked: list[int] = []
        self._provider = provider
        self._given = given

    def __call__(self) -> bool:
        self.asked.append(len(self._provider.accepted()))
        return self._given


class TransportContract:
    """Subclasses give the fixture `provider`."""

    @pytest.fixture
    def permits(self, provider: Provider) -> Permits:
        return Permits(provider, given=True)

    def deliver(self, provider: Provider, permits: Permits, to: str = "to@example.org", *, number: int = 1) -> Outcome:
        return provider.transport.deliver(a_mail(to, number=number), permits)

    def test_a_mail_arrives_once_octet_for_octet(self, provider, permits):
        outcome = self.deliver(provider, permits)

        assert type(outcome) is Delivered
        assert outcome.phase is Phase.ANSWERED
        assert outcome.reply.code == 250
        assert provider.accepted() == [("to@example.org", a_mail().data)]

    def test_the_permit_is_asked_once_before_anything_is_handed_over(self, provider, permits):
        self.deliver(provider, permits)

        assert permits.asked == [0]

    def test_without_the_permit_the_mail_is_given_back_and_not_delivered(self, provider):
        outcome = self.deliver(provider, Permits(provider, given=False))

        assert type(outcome) is GivenBack
        assert outcome.phase is Phase.ENVELOPE
        assert provider.accepted() == []

    def test_mails_follow_each_other(self, provider, permits):
        outcomes = [self.deliver(provider, permits, f"{number}@example.org", number=number) for number in range(3)]

        assert [type(outcome) for outcome in outcomes] == [Delivered] * 3
        assert [to for to, _ in provider.accepted()] == ["0@example.org", "1@example.org", "2@example.org"]

    def test_a_refused_recipient_is_told_and_the_permit_not_asked(self, provider, permits):
        provider.refuse("bad@example.org")

        outcome = self.deliver(provider, permits, "bad@example.org")

        assert type(outcome) is Refused
        assert outcome.reply.code == 550
        assert permits.asked == []
        assert provider.accepted() == []

    def test_a_refused_mail_spoils_no_other(self, provider, permits):
        provider.refuse("bad@example.org")

        outcomes = [self.deliver(provider, permits, to) for to in ("a@example.org", "bad@example.org", "b@example.org")]

        assert [type(outcome) for outcome in outcomes] == [Delivered, Refused, Delivered]

    def test_a_deferred_mail_is_taken_the_next_time(self, provider, permits):
        provider.defer("slow@example.org")

        outcomes = [self.deliver(provider, permits, "slow@example.org") for _ in range(2)]

        assert [type(outcome) for outcome in outcomes] == [Deferred, Delivered]

    def test_a_provider_that_is_away_is_unavailable_and_the_permit_not_asked(self, provider, permits):
        provider.go_away()

        outcome = self.deliver(provider, permits)

        assert type(outcome) is Unavailable
        assert permits.asked == []

    def test_a_provider_that_comes_back_is_found_again(self, provider, permits):
        self.deliver(provider, permits, number=1)
        provider.go_away()
        away = self.deliver(provider, permits, number=2)
        provider.come_back()

        back = self.deliver(provider, permits, number=2)

        assert [type(outcome) for outcome in (away, back)] == [Unavailable, Delivered]
        assert len(provider.accepted()) == 2

    def test_a_probe_tells_nothing_but_whether_the_provider_is_there(self, provider):
        assert provider.transport.probe() is None
        provider.go_away()
        assert type(provider.transport.probe()) is Unavailable
        provider.come_back()
        assert provider.transport.probe() is None
        assert provider.accepted() == []

    def test_closing_is_allowed_at_any_time_and_ends_nothing_for_good(self, provider, permits):
        provider.transport.close()
        self.deliver(provider, permits, number=1)
        provider.transport.close()
        provider.transport.close()

        assert type(self.deliver(provider, permits, number=2)) is Delivered
