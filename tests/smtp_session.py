"""One connection to the test SMTP server: the dialogue of RFC 5321, as the script wants it."""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from tests.smtp_events import Answered, Closed, Command, Connection, Ended, LoggedIn, Message, Settled
from tests.smtp_record import Record
from tests.smtp_script import AcceptThenDrop, Drop, Gate, Hang, Moment, Reply, Script, Stage
from tests.smtp_wire import Over, Wire

_PATH = re.compile(r"(FROM|TO):\s*<([^>]*)>\s*(.*)", re.IGNORECASE)
_GO_ON = 354


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What all connections of one server share. Without `credentials` every login is good and none needed."""

    script: Script
    record: Record
    extensions: tuple[str, ...]
    credentials: tuple[str, str] | None
    connection_numbers: Iterator[int]
    message_numbers: Iterator[int]

    def offers(self, keyword: str) -> bool:
        """Whether EHLO lists the extension."""
        return any(line.split()[0] == keyword for line in self.extensions)

    def is_too_big(self, size: int) -> bool:
        """Whether SIZE with a limit is offered, and this is over it."""
        limits = [int(line.split()[1]) for line in self.extensions if line.startswith("SIZE ")]
        return any(size > limit for limit in limits)


class Session:
    """The dialogue with one client. Commands return their reply; `_command` records it, then sends it."""

    def __init__(self, provider: Provider, wire: Wire) -> None:
        self._provider = provider
        self._wire = wire
        self._number = next(provider.connection_numbers)
        self._messages = 0
        self._greeted = False
        self._user: str | None = None
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._commands: dict[str, Callable[[str], Awaitable[Reply]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "NOOP": self._noop,
            "RSET": self._rset,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Talk until one side ends it, and record how."""
        record, ended = self._provider.record, Ended.STOPPED
        record.add(Connection(number=self._number, at=time.monotonic(), wall=time.time()))
        try:
            self._write(await self._reply(self._moment(Stage.CONNECT), Reply(220, "test.invalid ESMTP")))
            while True:
                await self._command(await self._wire.line())
        except Over as over:
            ended = over.ended
        finally:
            record.add(Closed(connection=self._number, ended=ended, at=time.monotonic()))
            self._wire.close(at_once=ended is Ended.STOPPED)

    async def _command(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        verb, at, wall = verb.upper(), time.monotonic(), time.time()
        command = Command(connection=self._number, verb=verb, argument=argument, at=at, wall=wall)
        try:
            reply = await self._commands.get(verb, self._unknown)(argument)
            command.code = reply.code
        finally:
            self._provider.record.add(command)
        self._write(reply)
        if verb == "QUIT":
            raise Over(Ended.QUIT)
        if verb == "DATA" and reply.code == _GO_ON:
            await self._receive()

    # The commands

    async def _ehlo(self, argument: str) -> Reply:
        return await self._hello(("test.invalid greets you", *self._provider.extensions), argument)

    async def _helo(self, argument: str) -> Reply:
        return await self._hello(("test.invalid",), argument)

    async def _hello(self, lines: tuple[str, ...], argument: str) -> Reply:
        reply = await self._reply(self._moment(Stage.EHLO, argument), Reply(250, "\n".join(lines)))
        self._greeted = reply.accepts
        self._forget_envelope()
        return reply

    async def _auth(self, argument: str) -> Reply:
        mechanism, _, initial = argument.partition(" ")
        if not self._provider.offers("AUTH") or mechanism.upper() not in {"PLAIN", "LOGIN"}:
            return Reply(504, "5.5.4 unknown mechanism")
        try:
            user, password = await self._credentials(mechanism.upper(), initial)
        except ValueError:
            return Reply(501, "5.5.2 cannot be read")
        is_right = self._provider.credentials in {None, (user, password)}
        usual = Reply(235, "2.7.0 welcome") if is_right else Reply(535, "5.7.8 wrong user or password")
        reply = await self._reply(self._moment(Stage.AUTH, mechanism), usual)
        if reply.accepts:
            self._user = user
            self._provider.record.add(LoggedIn(connection=self._number, user=user))
        return reply

    async def _credentials(self, mechanism: str, initial: str) -> tuple[str, str]:
        if mechanism == "PLAIN":
            _, user, password = _decoded(initial or await self._ask("")).split("\0")
            return user, password
        user = _decoded(initial or await self._ask("Username:"))
        return user, _decoded(await self._ask("Password:"))

    async def _ask(self, challenge: str) -> str:
        self._write(Reply(334, base64.b64encode(challenge.encode()).decode()))
        return await self._wire.line()

    async def _mail(self, argument: str) -> Reply:
        if not self._greeted or self._sender is not None:
            return Reply(503, "5.5.1 not now")
        if self._provider.credentials and self._user is None:
            return Reply(530, "5.7.0 log in first")
        sender = self._address("FROM", argument)
        if isinstance(sender, Reply):
            return sender
        moment = self._moment(Stage.MAIL, argument, sender=sender)
        reply = await self._reply(moment, Reply(250, "2.1.0 go on"))
        if reply.accepts:
            self._sender = sender
        return reply

    async def _rcpt(self, argument: str) -> Reply:
        if self._sender is None:
            return Reply(503, "5.5.1 MAIL first")
        recipient = self._address("TO", argument)
        if isinstance(recipient, Reply):
            return recipient
        moment = self._moment(Stage.RCPT, argument, recipients=(recipient,))
        reply = await self._reply(moment, Reply(250, "2.1.5 go on"))
        if reply.accepts:
            self._recipients.append(recipient)
        return reply

    def _address(self, keyword: str, argument: str) -> str | Reply:
        """The address of MAIL or RCPT, or why it is refused."""
        found = _PATH.fullmatch(argument)
        if not found or found[1].upper() != keyword:
            return Reply(501, f"5.5.4 {keyword}:<address>, please")
        for parameter in found[3].upper().split():
            if refusal := self._refusal(*parameter.partition("=")[::2]):
                return refusal
        if not found[2].isascii() and not self._provider.offers("SMTPUTF8"):
            return Reply(553, "5.6.7 ASCII only")
        return found[2]

    def _refusal(self, keyword: str, value: str) -> Reply | None:
        if not self._provider.offers("8BITMIME" if keyword == "BODY" else keyword):
            return Reply(555, f"5.5.4 {keyword} is not offered")
        if keyword == "SIZE" and value.isdecimal() and self._provider.is_too_big(int(value)):
            return Reply(552, "5.3.4 too big")
        return None

    async def _data(self, argument: str) -> Reply:
        if not self._recipients:
            return Reply(503, "5.5.1 RCPT first")
        moment = self._moment(Stage.DATA, argument, recipients=tuple(self._recipients))
        return await self._reply(moment, Reply(_GO_ON, "end with a dot"))

    async def _noop(self, argument: str) -> Reply:
        return await self._reply(self._moment(Stage.NOOP, argument), Reply(250, "2.0.0 still here"))

    async def _rset(self, argument: str) -> Reply:
        self._forget_envelope()
        return await self._reply(self._moment(Stage.RSET, argument), Reply(250, "2.0.0 forgotten"))

    async def _quit(self, argument: str) -> Reply:
        return await self._reply(self._moment(Stage.QUIT, argument), Reply(221, "2.0.0 bye"))

    async def _unknown(self, argument: str) -> Reply:
        del argument
        return Reply(502, "5.5.1 unknown command")

    def _forget_envelope(self) -> None:
        self._sender, self._recipients = None, []

    # The message

    async def _receive(self) -> None:
        raw = await self._wire.body()
        message = Message(
            number=next(self._provider.message_numbers),
            connection=self._number,
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            raw=raw,
            at=time.monotonic(),
            wall=time.time(),
        )
        self._provider.record.add(message)
        is_too_big = self._provider.is_too_big(len(raw))
        usual = Reply(552, "5.3.4 too big") if is_too_big else Reply(250, "2.0.0 taken")
        moment = self._moment(Stage.ANSWER, recipients=message.recipients, raw=raw)
        effect = await self._decided(moment, usual)
        self._messages += 1
        self._forget_envelope()
        self._settle(message, effect)

    def _settle(self, message: Message, effect: Reply | Drop | AcceptThenDrop) -> None:
        record, reply = self._provider.record, effect if isinstance(effect, Reply) else None
        settled = Settled(
            message=message.number,
            accepted=reply.accepts if reply else isinstance(effect, AcceptThenDrop),
            reply=reply.wire.decode("latin-1") if reply else "",
            at=time.monotonic(),
            wall=time.time(),
        )
        with record.lock():  # recorded before it is said, and nobody sees it recorded and not yet said
            record.add(settled)
            if reply and self._wire.write(reply.wire):
                record.add(Answered(message=message.number))
        self._end_if_told(effect)

    # What the script wants

    def _moment(
        self,
        stage: Stage,
        argument: str = "",
        *,
        sender: str | None = None,
        recipients: tuple[str, ...] = (),
        raw: bytes = b"",
    ) -> Moment:
        return Moment(
            stage=stage,
            connection=self._number,
            parallel=self._provider.record.parallel_connections,
            messages=self._messages,
            sender=(self._sender or "") if sender is None else sender,
            recipients=recipients,
            argument=argument,
            raw=raw,
        )

    async def _reply(self, moment: Moment, usual: Reply) -> Reply:
        effect = await self._decided(moment, usual)
        if not isinstance(effect, Reply):
            self._hang_up(effect)
        return effect

    async def _decided(self, moment: Moment, usual: Reply) -> Reply | Drop | AcceptThenDrop:
        verdict = self._provider.script.decide(moment)
        if verdict.delay:
            await asyncio.sleep(verdict.delay)
        for gate in verdict.gates:
            await self._wire.held_at(gate)
        if isinstance(verdict.effect, Hang):
            await self._hang(verdict.effect)
            return usual
        return verdict.effect or usual

    async def _hang(self, hang: Hang) -> None:
        await self._wire.held_at(hang.gate or Gate())
        if self._wire.gone.done():
            raise Over(self._wire.gone.result())

    def _write(self, reply: Reply) -> None:
        self._wire.write(reply.wire)
        self._end_if_told(reply)

    def _end_if_told(self, effect: Reply | Drop | AcceptThenDrop) -> None:
        if not isinstance(effect, Reply):
            self._hang_up(effect)
        if effect.closes:
            raise Over(Ended.CLOSED)

    def _hang_up(self, effect: Drop | AcceptThenDrop) -> NoReturn:
        self._wire.close(by_reset=effect.reset)
        raise Over(Ended.DROPPED)


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()
