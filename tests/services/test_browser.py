"""Somebody on call at work, in a real browser: looks, finds a mail, repairs."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from auth_api.models import User
from ops.dev.screenshots import browser_path
from outbox import errands, tasks
from outbox.models import Attempt, Errand, Intent, Provider
from outbox.states import State
from tests.factories import make_intent

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        browser_path() is None, reason="no Chromium on this machine: install one (on Debian: apt install chromium)"
    ),
]
PASSWORD = "a-Long-pass-phrase"
RUNS = "top.document.title='it ran'"
NAME = f'<script>{RUNS}</script><img src="x" onerror="{RUNS}"> ليلى'


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright keeps an event loop running in this thread
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        expect.set_options(timeout=15_000)  # a machine that does other work, too
        yield chromium
        chromium.close()


@pytest.fixture
def olga(monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody who may do everything."""
    monkeypatch.setattr("outbox.receivers.nudge", lambda: None)
    user: User = User.objects.create_superuser(email="olga@example.com", name="Olga", password=PASSWORD)
    return user


@pytest.fixture
def context(browser: Browser, live_server: LiveServer) -> Iterator[BrowserContext]:
    """A fresh browser, which at the end has asked nobody but us for anything."""
    opened = browser.new_context(base_url=live_server.url)
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    yield opened
    opened.close()
    assert [url for url in requests if not url.startswith((live_server.url, "data:", "blob:"))] == []


@pytest.fixture
def page(context: BrowserContext, live_server: LiveServer, olga: User) -> Page:
    """A page of somebody who has logged in."""
    client = Client()
    client.force_login(olga)
    session = client.cookies[settings.SESSION_COOKIE_NAME]
    context.add_cookies([{"name": session.key, "value": session.value, "url": live_server.url}])
    return context.new_page()


def test_who_logs_in_sees_on_a_page_that_renews_itself_whether_mail_flows(context: BrowserContext, olga: User):
    page = context.new_page()
    page.clock.install()
    page.goto("/admin/")
    page.fill("input[name=username]", olga.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")

    expect(page.get_by_text("No tick of the dispatcher for a minute")).to_be_visible()
    page.wait_for_load_state()  # only then does the page's own clock run
    expect(page.get_by_role("img", name="Sent per minute")).to_be_visible()
    dead = page.locator(".ob-tile", has_text="dead letters")
    expect(dead).to_contain_text("0")
    make_intent(State.DEAD, reason="550 no such user")
    page.clock.fast_forward(16_000)
    expect(dead).to_contain_text("1")
    expect(page.get_by_text("550 no such user")).to_be_visible()


def test_a_mail_is_found_by_its_address_read_and_resent(page: Page):
    intent = make_intent(State.DEAD, recipient="layla@example.com", reason="5.1.1 no such user")
    Attempt.objects.update(code=550, text=f"5.1.1 <script>{RUNS}</script>")
    make_intent(recipient="omar@example.com")

    page.goto("/admin/outbox/intent/")
    page.fill("input[name=q]", "Layla@Example.com")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="dead", exact=True).click()
    expect(page.get_by_text("Try 1: refused")).to_be_visible()
    expect(page.get_by_text("<script>")).to_be_visible()
    assert page.title() != "it ran"
    page.get_by_role("button", name="Resend …").click()
    page.fill("input[name=reason]", "she moved")
    page.get_by_role("button", name="Resend 1").click()

    expect(page.get_by_text("1 resent.")).to_be_visible()
    page.get_by_role("link", name="a copy").click()
    expect(page.get_by_text("as a copy of")).to_be_visible()
    assert Intent.objects.get(resent_from=intent).reason == "resent: she moved"


def test_the_mail_is_shown_as_its_recipient_sees_it_and_nothing_in_it_runs(page: Page):
    intent = make_intent(State.SENT, language="ar", context={"name": NAME})
    tried: list[str] = []
    page.on("dialog", lambda dialog: tried.append(dialog.message))

    page.goto(f"/admin/outbox/intent/{intent.pk}/change/")
    page.locator("iframe[title='The mail']").scroll_into_view_if_needed()
    mail = page.frame_locator("iframe[title='The mail']")
    expect(mail.locator("html")).to_have_attribute("dir", "rtl")
    expect(mail.locator("body")).to_contain_text(NAME)
    assert mail.locator("script, [onerror]").count() == 0
    page.get_by_role("link", name="text", exact=True).click()
    expect(mail.locator("pre")).to_contain_text(NAME)
    page.get_by_role("link", name="source", exact=True).click()
    expect(mail.locator("pre")).to_contain_text("Content-Type: multipart/alternative")
    assert page.title() != "it ran"
    page.goto(f"/admin/outbox/intent/{intent.pk}/mail/html")  # by itself, too
    expect(page.locator("body")).to_contain_text(NAME)
    assert page.title() != "it ran"
    assert tried == []


def test_five_hundred_dead_letters_are_replayed_by_a_filter(page: Page, monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(tasks, "_published", lambda *what: started.append(what))
    _many_like(make_intent(State.DEAD), 499)
    make_intent(State.SENT)

    page.goto("/admin/outbox/intent/?state__exact=dead")
    page.locator("#action-toggle").check()
    page.get_by_text(re.compile("Select all 500")).click()
    page.locator("select[name=action]").select_option("replay")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Replay 500 mails?")).to_be_visible()
    assert Intent.objects.filter(state=State.DEAD).count() == 500
    page.get_by_role("button", name="Replay 500").click()
    expect(page.get_by_text("0 looked at, 0 changed.")).to_be_visible()
    while not errands.step(Errand.objects.get().pk).finished:  # a worker does this
        pass

    expect(page.get_by_text("500 looked at, 500 changed.")).to_be_visible()
    assert len(started) == 1
    assert Intent.objects.filter(state=State.PENDING).count() == 500


def test_dispatch_is_paused_and_resumed(page: Page):
    page.goto("/admin/")
    page.get_by_role("button", name="Pause dispatch").click()
    expect(page.get_by_text("Dispatch is paused by olga@example.com.")).to_be_visible()
    assert Provider.objects.get().paused_by == "olga@example.com"

    page.get_by_role("button", name="Resume dispatch").click()
    expect(page.get_by_role("button", name="Pause dispatch")).to_be_visible()
    assert Provider.objects.get().paused_at is None


def _many_like(sample: Intent, count: int) -> None:
    """Copies of the row, in one statement."""
    columns = {field.attname: getattr(sample, field.attname) for field in Intent._meta.concrete_fields}
    own = ("id", "task_id", "message_id")
    shared = {name: value for name, value in columns.items() if name not in own}
    Intent.objects.bulk_create(Intent(message_id=f"<{n}@example.com>", **shared) for n in range(count))
