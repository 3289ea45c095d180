"""What the test SMTP server answers: rules by stage of the dialogue, changeable while it runs.

A rule names a stage, says when it applies and what is then done:

    script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), recipient=r"^bad@"))
    script.add(Rule(Stage.RCPT, Reply(450, "4.7.1 greylisted"), first=2))         # per recipient
    script.add(Rule(Stage.ANSWER, AcceptThenDrop(), every=10))                    # each tenth mail
    script.add(Rule(Stage.ANSWER, delay=1.0))                                     # the usual answer, late
    script.add(Rule(Stage.CONNECT, Reply(421, "4.7.0 too many"), parallel_above=3))
    script.add(Rule(Stage.MAIL, Reply(421, "4.7.0 enough"), after_messages=20))   # per connection
    script.add(Rule(Stage.AUTH, Reply(535, "5.7.8 wrong password")))
    script.add(Rule(Stage.RCPT, Reply.of_bytes(550, b"5.1.1 \\x00\\xff\\nsecond line")))

Rules are asked in the order they were added. A rule without an effect adds its delay and gate, and the
next ones are asked; the first with an effect decides. Where none does, the usual answer is given.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Stage(StrEnum):
    """Where in the dialogue a rule applies; ANSWER is the reply to the final dot."""

    CONNECT = "connect"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    ANSWER = "answer"
    NOOP = "noop"
    RSET = "rset"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with this code; each line of the text is a line of the answer. 421 also hangs up."""

    code: int
    text: str = ""
    close: bool = False

    @classmethod
    def of_bytes(cls, code: int, text: bytes) -> "Reply":
        """A reply whose text is these very bytes, be they no UTF-8."""
        return cls(code, text.decode("utf-8", "surrogateescape"))

    @property
    def closes(self) -> bool:
        """Whether the server hangs up after it."""
        return self.close or self.code == 421

    @property
    def accepts(self) -> bool:
        """Whether the command succeeded."""
        return self.code < 400

    @property
    def wire(self) -> bytes:
        """The bytes that are sent."""
        *earlier, last = self.text.encode("utf-8", "surrogateescape").split(b"\n")
        code = b"%d" % self.code
        return b"".join(b"%s-%s\r\n" % (code, line) for line in earlier) + b"%s %s\r\n" % (code, last)


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection instead of answering; with `reset` by RST."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class AcceptThenDrop:
    """Accept the message, and close the connection instead of saying so; only at Stage.ANSWER."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Do not answer until the client leaves (then nothing was accepted) or the gate is released."""

    gate: "Gate | None" = None


Effect = Reply | Drop | AcceptThenDrop | Hang


class Gate:
    """Holds answers until the test releases them, and tells the test that one is being held.

    gate = Gate()
    smtp.script.add(Rule(Stage.ANSWER, gate=gate))
    …                       # let a worker send
    gate.wait_arrived()     # DATA is with the server, the answer is not out
    …                       # kill the worker
    gate.release()

    A message held at Stage.ANSWER counts as accepted once the gate opens or the client leaves, as with a
    real provider that was about to say so; use Hang for one that never accepts.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.arrivals = 0
        self._open = False
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def wait_arrived(self, timeout: float = 10.0) -> None:
        """Return once somebody is held (or was, since `close`).

        Raises:
            AssertionError: nobody came in time.
        """
        assert self.arrived.wait(timeout), f"nobody reached the gate within {timeout} s"

    def release(self) -> None:
        """Let everybody through, now and until `close`."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def close(self) -> None:
        """Hold again whoever comes from now on."""
        with self._lock:
            self._open = False
            self.arrived.clear()

    def enter(self, wake: Callable[[], None]) -> None:
        """For the server: somebody is at the gate; `wake` is called once it is open."""
        with self._lock:
            self.arrivals += 1
            opened = self._open
            if not opened:
                self._waiting.append(wake)
        self.arrived.set()
        if opened:
            wake()

    def leave(self, wake: Callable[[], None]) -> None:
        """For the server: this one waits no longer."""
        with self._lock:
            if wake in self._waiting:
                self._waiting.remove(wake)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known when the server is about to answer.

    `recipients` holds the one just asked for at RCPT and all accepted ones later; `parallel` counts open
    connections with this one; `messages` those received on this connection before; `raw` is for ANSWER.
    """

    stage: Stage
    connection: int
    parallel: int
    messages: int
    sender: str
    recipients: tuple[str, ...]
    argument: str
    raw: bytes


@dataclass(slots=True, eq=False)
class Rule:
    """At `stage`, if every condition given holds: wait `delay` seconds and for `gate`, then do `effect`.

    Conditions: `recipient` and `sender` are searched as regular expressions (`recipient` in any of them),
    `parallel_above` is the number of connections at which it is still quiet, `after_messages` the number of
    messages the connection may have, `when` is asked last. Of the moments that pass, `first` takes the first
    so many of each recipient, `every` each n-th, `probability` a share (the same one for the same `seed`),
    `times` the first so many in all.
    """

    stage: Stage
    effect: Effect | None = None
    delay: float = field(default=0.0, kw_only=True)
    gate: Gate | None = field(default=None, kw_only=True)
    recipient: str | None = field(default=None, kw_only=True)
    sender: str | None = field(default=None, kw_only=True)
    parallel_above: int | None = field(default=None, kw_only=True)
    after_messages: int | None = field(default=None, kw_only=True)
    when: Callable[[Moment], bool] | None = field(default=None, kw_only=True)
    first: int | None = field(default=None, kw_only=True)
    every: int | None = field(default=None, kw_only=True)
    probability: float | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    times: int | None = field(default=None, kw_only=True)
    applied: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _seen_by_recipient: Counter[tuple[str, ...]] = field(default_factory=Counter, init=False)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.effect, AcceptThenDrop) and self.stage is not Stage.ANSWER:
            raise ValueError("AcceptThenDrop is for Stage.ANSWER: only there is a message to accept")
        self._random = Random(self.seed)  # noqa: S311 — chance for a test, not for a secret

    def applies(self, moment: Moment) -> bool:
        """Whether the rule is meant; this counts the moment."""
        chosen = self._fits(moment) and self._is_chosen(moment)
        self.applied += chosen
        return chosen

    def _fits(self, moment: Moment) -> bool:
        return (
            moment.stage is self.stage
            and (self.recipient is None or any(re.search(self.recipient, to) for to in moment.recipients))
            and (self.sender is None or re.search(self.sender, moment.sender) is not None)
            and (self.parallel_above is None or moment.parallel > self.parallel_above)
            and (self.after_messages is None or moment.messages >= self.after_messages)
            and (self.when is None or self.when(moment))
        )

    def _is_chosen(self, moment: Moment) -> bool:
        self._seen += 1
        self._seen_by_recipient[moment.recipients] += 1
        return (
            (self.times is None or self.applied < self.times)
            and (self.first is None or self._seen_by_recipient[moment.recipients] <= self.first)
            and (self.every is None or self._seen % self.every == 0)
            and (self.probability is None or self._random.random() < self.probability)
        )


@dataclass(slots=True)
class Verdict:
    """What the rules make of a moment; no effect means the usual answer."""

    effect: Effect | None = None
    delay: float = 0.0
    gates: list[Gate] = field(default_factory=list)


class Script:
    """The rules in force; any thread may change them at any time."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> Rule:
        """Put the rule after the others; returned for `remove`."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take the rule out; nothing happens if it is not in force."""
        with self._lock:
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Back to a server that accepts everything. Whoever is held at a gate stays there."""
        with self._lock:
            self._rules = []

    def decide(self, moment: Moment) -> Verdict:
        """Ask the rules in their order."""
        verdict = Verdict()
        with self._lock:
            for rule in self._rules:
                if not rule.applies(moment):
                    continue
                verdict.delay += rule.delay
                verdict.gates += [rule.gate] if rule.gate else []
                verdict.effect = rule.effect
                if rule.effect is not None:
                    break
        return verdict
