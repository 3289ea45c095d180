"""What the demo shows: a person's way through the API; then provider and Redis fail, one after the other."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ops.dev.screen import Note, Screen, StepFailedError
from ops.dev.services import Service
from ops.dev.site import Answer
from ops.dev.system import System

# How much longer than usual an answer may take during an outage. On a busy machine a password hash alone
# varies by tens of milliseconds; a request that waited for Redis or the provider would take seconds.
_SLACK_SECONDS = 0.3
_ISOLATES = dict.fromkeys(range(0x2066, 0x206A))  # right in mails; few terminals know what to do with them
_CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who registers."""

    name: str
    email: str
    language: str = "en"


LAYLA = Person("ليلى حداد", "layla@example.com", "ar")
OMAR = Person("Omar Nasser", "omar@example.com")
SARA = Person("سارة منصور", "sara@example.com", "ar")
NOUR = Person("Nour Saleh", "nour@example.com")


class Scenario:
    """The steps, in order; the first that does not happen ends it."""

    def __init__(self, system: System, screen: Screen) -> None:
        self._system, self._screen = system, screen
        self._site = system.web.site
        self._password = secrets.token_urlsafe(12)
        self._usual = 0.0

    def run(self) -> None:
        """Go through everything.

        Raises:
            StepFailedError: a step did not happen.
        """
        self._screen.heading("A person registers, forgets the password, and sets a new one")
        self._register_first()
        self._reset_password(LAYLA)
        self._screen.heading("The SMTP server stops")
        self._outage(self._system.smtp, self._system.smtp.stop, OMAR, was_tried=True)
        self._screen.heading("Redis is killed, and comes back empty")
        self._outage(self._system.stack.redis, self._system.stack.redis.kill, SARA, was_tried=False)
        self._screen.heading("Redis hangs: it accepts connections and answers nothing")
        self._hanging(NOUR)

    def _register_first(self) -> None:
        for _ in range(4):  # both web workers have answered once: what follows is the usual time
            self._site.post("/api/auth/login/", email="nobody@example.com", password=self._password)
        task = self._register(LAYLA)
        self._await_mail(LAYLA, "The welcome mail arrives")
        self._await_sent(LAYLA, task)

    def _register(self, person: Person) -> str:
        with self._screen.step(f"Register {person.name}") as note:
            answer = self._site.post(
                "/api/auth/register/",
                name=person.name,
                email=person.email,
                password=self._password,
                password_confirm=self._password,
                language=person.language,
            )
            _expect(answer, 201)
            self._compare(answer.seconds, note)
            return str(answer.body["task_id"])

    def _compare(self, seconds: float, note: Note) -> None:
        """Hold the answer's time against the usual one, which the first registration sets."""
        if not self._usual:
            self._usual = seconds
            return note(f"201 in {seconds * 1000:.0f} ms")
        if seconds > self._usual + _SLACK_SECONDS:
            raise StepFailedError(f"the answer took {seconds:.2f} s; usual are {self._usual:.2f} s")
        return note(f"201 in {seconds * 1000:.0f} ms; with everything up it was {self._usual * 1000:.0f} ms")

    def _await_mail(self, person: Person, step: str) -> str:
        """Wait for the person's next mail; its text."""
        with self._screen.step(step) as note:
            mail = self._system.next_mail(person.email)
            note(f"“{mail['subject'].translate(_ISOLATES)}”")
            return str(mail["text"])

    def _reset_password(self, person: Person) -> None:
        with self._screen.step("Request a password reset") as note:
            answer = self._site.post("/api/auth/password/reset/", email=person.email)
            _expect(answer, 202)
            note(f"202 in {answer.seconds * 1000:.0f} ms")
            task = str(answer.body["task_id"])
        code = _code_in(self._await_mail(person, "The code arrives by mail"))
        with self._screen.step("Verify the code; a wrong one is refused"):
            wrong = f"{(int(code) + 1) % 1_000_000:06}"
            _expect(self._site.post("/api/auth/password/reset/verify/", email=person.email, code=wrong), 400)
            _expect(self._site.post("/api/auth/password/reset/verify/", email=person.email, code=code), 200)
        old, self._password = self._password, secrets.token_urlsafe(12)
        self._confirm(person, code)
        self._await_mail(person, "The mail about the change arrives")
        with self._screen.step("Log in with the new password; the old one is refused"):
            _expect(self._site.post("/api/auth/login/", email=person.email, password=old), 401)
            self._log_in(person)
        self._await_sent(person, task)

    def _confirm(self, person: Person, code: str) -> None:
        with self._screen.step("Set a new password with the code"):
            passwords = {"password": self._password, "password_confirm": self._password}
            path = "/api/auth/password/reset/confirm/"
            _expect(self._site.post(path, email=person.email, code=code, **passwords), 200)

    def _outage(self, service: Service, end: Callable[[], None], person: Person, *, was_tried: bool) -> None:
        """End the service, register somebody meanwhile, start it again, and see the mail arrive."""
        with self._screen.step(f"Stop: {service.name}"):
            end()
        task = self._register(person)
        self._await_pending(person, task, was_tried=was_tried)
        with self._screen.step(f"Start: {service.name}"):
            service.start()
        self._await_mail(person, "The mail arrives")
        self._await_sent(person, task)

    def _hanging(self, person: Person) -> None:
        redis = self._system.stack.redis
        with self._screen.step(f"Pause: {redis.name} (SIGSTOP)"):
            redis.pause()
        try:
            task = self._register(person)
            self._await_pending(person, task, was_tried=False)
        finally:
            redis.resume()
        with self._screen.step(f"Resume: {redis.name}"):
            self._system.wait(redis.clients, "an answer of Redis")
        self._await_mail(person, "The mail arrives")
        self._await_sent(person, task)

    def _await_pending(self, person: Person, task: str, *, was_tried: bool) -> None:
        """See that the mail waits; with the provider gone only after a worker found that out."""
        step = "A worker tries in vain; the mail waits" if was_tried else "The mail waits in PostgreSQL"
        with self._screen.step(step) as note:
            token = self._log_in(person)

            def waits() -> bool:
                facts = self._task(task, token)
                note(f"{facts['state']}, attempts: {facts['attempts']}")
                if was_tried:
                    return facts["state"] == "pending" and facts["attempts"] != 0
                return facts["state"] in {"pending", "sent"}  # a worker still awake needs no Redis to send it

            self._system.wait(waits, "a mail that waits")

    def _await_sent(self, person: Person, task: str) -> None:
        with self._screen.step("The API says: sent") as note:
            token = self._log_in(person)
            self._system.wait(lambda: self._task(task, token)["state"] == "sent", "the state sent")
            note(f"attempts: {self._task(task, token)['attempts']}")

    def _log_in(self, person: Person) -> str:
        answer = self._site.post("/api/auth/login/", email=person.email, password=self._password)
        _expect(answer, 200)
        return str(answer.body["token"])

    def _task(self, task: str, token: str) -> dict[str, object]:
        answer = self._site.get(f"/api/outbox/{task}/", token)
        _expect(answer, 200)
        found: dict[str, object] = answer.body["task"]
        return found


def _expect(answer: Answer, code: int) -> None:
    if answer.code != code:
        raise StepFailedError(f"the answer is {answer.code} {answer.body}; expected was {code}")
    kind = "success" if code < 400 else "error"  # noqa: PLR2004 where HTTP's errors begin
    if answer.body.get("status") != kind:
        raise StepFailedError(f"the body {answer.body} has no status “{kind}”")


def _code_in(text: str) -> str:
    codes = set(_CODE.findall(text))
    if len(codes) != 1:
        raise StepFailedError(f"the mail holds {len(codes)} six-digit numbers instead of one")
    return str(codes.pop())
