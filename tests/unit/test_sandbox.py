"""Whom a mail may really reach, outside production."""

import re
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import uuid4

import html5lib
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import checks, kinds, lanes, messages, rendering, sandbox
from outbox.lanes import Flight
from outbox.outcomes import Deferred, Delivered, Phase, Reply, Void
from outbox.sandbox import Sandbox
from outbox.transitions import Begun

LAYLA, TEAM = "layla@example.com", "team@souk.example"
SMTP = "django.core.mail.backends.smtp.EmailBackend"


# --- The decision ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("allow", "to", "really"),
    [
        ({"*"}, "", LAYLA),
        ({"*"}, TEAM, LAYLA),
        ({LAYLA}, "", LAYLA),
        ({"example.com"}, "", LAYLA),
        ({"example.com"}, TEAM, LAYLA),
        ({"com"}, "", None),
        ({"ample.com"}, "", None),
        ({"sub.example.com"}, "", None),
        ({"omar@example.com"}, "", None),
        ({"omar@example.com"}, TEAM, TEAM),
        (set(), TEAM, TEAM),
        (set(), "", None),
    ],
)
def test_a_mail_goes_to_its_recipient_to_one_address_or_to_nobody(allow, to, really):
    assert Sandbox(allow=frozenset(allow), to=to).route(LAYLA) == really


@pytest.mark.parametrize(
    "to", ["team", "a@b@c", "Team <team@souk.example>", "بريد@souk.example", "a@x.example, b@x.example"]
)
def test_an_address_of_the_sandbox_that_is_none_is_refused_by_name(to):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_SANDBOX_TO is "):
        Sandbox(to=to)


@pytest.mark.parametrize("entry", ["*.example.com", "a b", "a@", "https://example.com", "**"])
def test_an_entry_of_the_list_that_could_never_match_is_refused_by_name(entry):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_SANDBOX_ALLOW holds "):
        Sandbox(allow=frozenset({entry}))


def test_entries_may_be_written_as_people_write_them(settings):
    settings.EMAIL_SANDBOX_ALLOW = ["Example.COM", "@souk.example", "Omar@Bank.example"]

    assert sandbox.current().allow == {"example.com", "souk.example", "omar@bank.example"}


# --- What the settings make of it -----------------------------------------------------------------------------
@pytest.fixture
def configured(settings):
    """The sandbox of a process with these settings, beginning from a production that reaches real people."""

    def make(**changes):
        plain = {"DEBUG": False, "EMAIL_BACKEND": SMTP, "EMAIL_HOST": "smtp.provider.example", "EMAIL_PORT": 587}
        for name, value in {**plain, "EMAIL_SANDBOX_TO": "", "EMAIL_SANDBOX_ALLOW": [], **changes}.items():
            setattr(settings, name, value)
        return sandbox.current()

    return make


def test_production_mails_everybody(configured):
    assert configured().route(LAYLA) == LAYLA


def test_a_setting_counts_in_production_too_for_a_staging_site_is_one(configured):
    assert configured(EMAIL_SANDBOX_TO=TEAM).route(LAYLA) == TEAM
    assert configured(EMAIL_SANDBOX_ALLOW=["souk.example"]).route(LAYLA) is None


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("smtp.provider.example", 587),
        ("smtp.provider.example", 1025),
        ("10.0.0.7", 1025),
        ("localhost.example", 1025),
        ("127.0.0.1.example", 1025),
        ("localhost", 25),  # what relays to the world listens there
        ("127.0.0.1", 587),
        ("::1", 465),
        ("", 1025),
    ],
)
def test_debug_mails_nobody_through_a_server_that_may_reach_real_people(configured, host, port):
    assert configured(DEBUG=True, EMAIL_HOST=host, EMAIL_PORT=port).route(LAYLA) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.53", "::1", "[::1]"])
def test_debug_mails_everybody_into_a_catcher_on_this_machine(configured, host):
    assert configured(DEBUG=True, EMAIL_HOST=host, EMAIL_PORT=1025).route(LAYLA) == LAYLA


@pytest.mark.parametrize(
    ("backend", "really"), [("console", LAYLA), ("file", LAYLA), ("locmem", LAYLA), ("smtp", None)]
)
def test_debug_lets_backends_work_that_reach_nobody(configured, backend, really):
    made = configured(DEBUG=True, EMAIL_BACKEND=f"django.core.mail.backends.{backend}.EmailBackend")

    assert made.route(LAYLA) == really


def test_debug_mails_nobody_through_an_http_api(configured):
    assert (
        configured(DEBUG=True, EMAIL_BACKEND="anymail.backends.x.EmailBackend", EMAIL_HOST="localhost").route(LAYLA)
        is None
    )


def test_debug_mails_those_who_are_allowed(configured):
    made = configured(DEBUG=True, EMAIL_SANDBOX_ALLOW=[TEAM])

    assert [made.route(TEAM), made.route(LAYLA)] == [TEAM, None]


def test_the_check_warns_of_a_sandbox_that_lets_nothing_out_and_of_no_other(configured):
    configured(DEBUG=True)
    assert [problem.id for problem in checks.mail_can_leave()] == ["outbox.W001"]

    configured(DEBUG=True, EMAIL_SANDBOX_TO=TEAM)
    assert checks.mail_can_leave() == []

    configured()
    assert checks.mail_can_leave() == []


# --- The banner -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["account_exists", "password_changed", "reset_code", "welcome"])
@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_redirected_mail_says_in_text_and_page_for_whom_it_was(kind, language):
    rendered = rendering.render(kind, language, kinds.get(kind).sample)

    mail = messages.build(rendered, recipient=TEAM, message_id="<1@souk.example>", meant_for="o'neil@example.com")

    parsed = message_from_bytes(mail.data, policy=policy.strict)
    text, page = (part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts())
    assert (mail.recipient, str(parsed["To"])) == (TEAM, TEAM)
    assert text.startswith("[Sandbox] This mail was meant for\no'neil@example.com\n")
    assert text.endswith(rendered.text)
    assert re.search("this mail was meant for <[^>]*>o&#x27;neil@example.com<", page)
    assert page.index("Sandbox") > page.index("<body")
    html5lib.HTMLParser(strict=True).parse(page)


def test_a_page_without_a_body_element_gets_its_banner_at_the_top():
    assert sandbox.marked_html("<p>Hi</p>", LAYLA).endswith("</table><p>Hi</p>")


def test_a_mail_that_goes_where_it_should_has_no_banner():
    rendered = rendering.render("welcome", "en", kinds.get("welcome").sample)

    assert b"andbox" not in messages.build(rendered, recipient=LAYLA, message_id="<1@souk.example>").data


@pytest.mark.parametrize("page", [None, "<html><body class='x'><p>Hallo</p></body></html>"])
def test_a_message_of_another_app_gets_the_banner_in_every_body_it_has(page):
    original = EmailMultiAlternatives("Sübject", "Hallo, Layla", "app@souk.example", [LAYLA])
    original.attach("a.pdf", b"%PDF", "application/pdf")
    if page:
        original.attach_alternative(page, "text/html")

    data = messages.freeze(original)[1]
    mail = messages.finished(data, recipient=TEAM, message_id="<1@souk.example>", meant_for=LAYLA)

    parsed = message_from_bytes(mail.data, policy=policy.default)
    bodies = [body.get_content() for kind in ("plain", "html") if (body := parsed.get_body((kind,)))]
    assert [body.count(LAYLA) for body in bodies] == [1] * (2 if page else 1)
    assert "Hallo, Layla" in bodies[0]
    assert [part.get_content() for part in parsed.iter_attachments()] == [b"%PDF"]
    assert (parsed["Subject"], parsed["Message-ID"]) == ("Sübject", "<1@souk.example>")


# --- In the lane ----------------------------------------------------------------------------------------------
class Provider:
    """Notes what it is given, and answers as told."""

    is_connected = False

    def __init__(self, outcome=None):
        self.mails = []
        self.outcome = outcome or Delivered(phase=Phase.ANSWERED, reply=Reply(text="2.0.0 queued"))

    def deliver(self, mail, permit):
        self.mails.append(mail)
        return self.outcome

    def probe(self):
        return None

    def close(self):
        pass


def flight(recipient=LAYLA, **changes):
    begun = Begun(
        intent_id=1,
        token=uuid4(),
        task_id=uuid4(),
        kind="welcome",
        recipient=recipient,
        language="en",
        context={},
        payload=None,
        message_id="<1@souk.example>",
        repeatable=True,
        is_sample=False,
        number=1,
        spent=1,
        alone=False,
        excused=False,
        age=timedelta(),
        remaining=timedelta(hours=1),
    )
    return Flight(
        begun=begun,
        context={"name": "Layla"},
        language="en",
        message=changes.get("message"),
        fence_s=8,
        renewed_at=0,
        ask_commit=lambda _: None,
    )


def test_a_mail_to_somebody_who_is_not_allowed_never_reaches_the_provider_and_is_closed_with_the_reason(configured):
    configured(EMAIL_SANDBOX_ALLOW=["souk.example"])
    provider = Provider()

    outcome = lanes._deliver(flight(), provider)

    assert outcome == Void(phase=Phase.CONNECT, reply=Reply(text=sandbox.REFUSAL))
    assert provider.mails == []


def test_a_redirected_mail_tells_its_history_where_it_went(configured):
    configured(EMAIL_SANDBOX_TO=TEAM)
    provider = Provider()

    outcome = lanes._deliver(flight(), provider)

    assert outcome.reply.text == "to team@souk.example (sandbox): 2.0.0 queued"
    assert [mail.recipient for mail in provider.mails] == [TEAM]
    assert b"meant for\r\nlayla@example.com" in provider.mails[0].data


def test_a_redirected_message_of_another_app_is_marked_too(configured):
    configured(EMAIL_SANDBOX_TO=TEAM)
    provider = Provider(Deferred(phase=Phase.ENVELOPE, reply=Reply(text="try later", code=450), hint=timedelta(1)))

    outcome = lanes._deliver(flight(message=b"Subject: Hi\r\n\r\nHi\r\n"), provider)

    assert isinstance(outcome, Deferred)
    assert outcome.hint == timedelta(1)
    assert provider.mails[0].recipient == TEAM
    assert b"layla@example.com" in provider.mails[0].data


def test_a_mail_to_somebody_who_is_allowed_is_delivered_as_it_is(configured):
    configured(EMAIL_SANDBOX_TO=TEAM, EMAIL_SANDBOX_ALLOW=["example.com"])
    provider = Provider()

    outcome = lanes._deliver(flight(), provider)

    assert outcome.reply.text == "2.0.0 queued"
    assert [mail.recipient for mail in provider.mails] == [LAYLA]
