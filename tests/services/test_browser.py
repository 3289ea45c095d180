"""Somebody on call at work, in a real browser: looks, finds a mail, repairs."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from auth_api.models import User
from ops.dev.screenshots import browser_path
from outbox import errands, tasks
from outbox.models import Attempt, Errand, Intent, Provider
from outbox.states import State
from tests.factories import make_intent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(browser_path() is None, reason="no Chromium is installed on this machine"),
]
PASSWORD = "a-Long-pass-phrase"


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright keeps an event loop running in this thread
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The admin's first page, entered as somebody who may do everything."""
    monkeypatch.setattr("outbox.receivers.nudge", lambda: None)
    User.objects.create_superuser(email="olga@example.com", name="Olga", password=PASSWORD)
    context = browser.new_context(base_url=live_server.url)
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    opened = context.new_page()
    opened.goto("/admin/")
    opened.fill("input[name=username]", "olga@example.com")
    opened.fill("input[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    yield opened
    context.close()
    assert [url for url in requests if not url.startswith((live_server.url, "data:", "blob:"))] == []


def test_the_dashboard_says_whether_mail_flows(page: Page):
    expect(page.get_by_text("No tick of the dispatcher for a minute")).to_be_visible()
    expect(page.get_by_role("img", name="Sent per minute")).to_be_visible()


def test_a_mail_is_found_by_its_address_read_and_resent(page: Page):
    intent = make_intent(State.DEAD, recipient="layla@example.com", reason="5.1.1 no such user")
    Attempt.objects.update(code=550, text="5.1.1 <script>document.title='run'</script>")
    make_intent(recipient="omar@example.com")

    page.goto("/admin/outbox/intent/")
    page.fill("input[name=q]", "Layla@Example.com")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="dead", exact=True).click()
    expect(page.get_by_text("Try 1: refused")).to_be_visible()
    expect(page.get_by_text("<script>")).to_be_visible()
    assert page.title() != "run"
    page.get_by_role("button", name="Resend …").click()
    page.fill("input[name=reason]", "she moved")
    page.get_by_role("button", name="Resend 1").click()

    expect(page.get_by_text("1 resent.")).to_be_visible()
    page.get_by_role("link", name="a copy").click()
    expect(page.get_by_text("as a copy of")).to_be_visible()
    assert Intent.objects.get(resent_from=intent).reason == "resent: she moved"


def test_five_hundred_dead_letters_are_replayed_by_a_filter(page: Page, monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(tasks, "_published", lambda *what: started.append(what))
    sample = make_intent(State.DEAD)
    _many_like(sample, 500)
    make_intent(State.SENT)

    page.goto("/admin/outbox/intent/?state__exact=dead")
    page.locator("#action-toggle").check()
    page.get_by_text(re.compile("Select all 501")).click()
    page.locator("select[name=action]").select_option("replay")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Replay 501 mails?")).to_be_visible()
    page.get_by_role("button", name="Replay 501").click()
    expect(page.get_by_text("0 looked at, 0 changed.")).to_be_visible()
    while not errands.step(Errand.objects.get().pk).finished:  # a worker does this
        pass

    expect(page.get_by_text("501 looked at, 501 changed.")).to_be_visible(timeout=10_000)
    assert len(started) == 1
    assert Intent.objects.filter(state=State.PENDING).count() == 501


def test_dispatch_is_paused_and_resumed(page: Page):
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
