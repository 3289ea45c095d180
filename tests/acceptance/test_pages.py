"""The admin and the API docs work in a real browser under our Content-Security-Policy, and without the internet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from ops.dev.place import HOST
from tests.acceptance.client import PASSWORD
from tests.acceptance.rig import Rig
from tests.acceptance.test_mail_looks import browser  # noqa: F401  (a fixture)

pytestmark = pytest.mark.browser
EMAIL = "staff@example.com"


class Visit:
    """One visitor, and what the browser complained about meanwhile."""

    def __init__(self, page: Page, root: str) -> None:
        self.page, self.root = page, root
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(("data:", root)) else self._left(request.url))

    def open(self, path: str) -> Page:
        """Go there, until all is loaded."""
        self.page.goto(self.root + path)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            self.complaints.append(message.text)

    def _left(self, url: str) -> None:
        self.elsewhere.append(url)


@pytest.fixture
def visit(system: Rig, browser: Browser) -> Iterator[Visit]:  # noqa: F811
    """A visitor with a browser of their own."""
    page = browser.new_page()
    yield Visit(page, f"http://{HOST}:{system.web.port}")
    page.close()


def test_the_docs_page_shows_every_endpoint(visit: Visit):
    page = visit.open("/api/docs/")

    page.wait_for_selector(".opblock")
    assert page.locator(".opblock").count() == 11
    assert visit.complaints == []
    assert visit.elsewhere == []


def test_the_admin_works_and_shows_mails_in_frames(visit: Visit, system: Rig):
    made = system.manage(
        "createsuperuser", "--noinput", "--email", EMAIL, "--name", "S", DJANGO_SUPERUSER_PASSWORD=PASSWORD
    )
    assert made.returncode == 0, made.stderr
    page = visit.open("/admin/")
    page.fill("#id_username", EMAIL)
    page.fill("#id_password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_load_state("networkidle")

    for path in ("outbox/intent/", "auth_api/user/", "auth_api/user/add/"):
        assert visit.open(f"/admin/{path}").url.endswith(path)  # and not at the login page
    shown = visit.open("/admin/outbox/intent/mails/").frames[1]
    assert "Layla" in shown.locator("body").inner_text()
    assert visit.complaints == []
    assert visit.elsewhere == []


def test_a_script_that_somebody_slipped_into_a_page_does_not_run(visit: Visit):
    page = visit.open("/admin/")

    page.evaluate("""() => {
        const script = document.createElement('script')
        script.textContent = 'window.slipped = true'
        document.body.append(script)
    }""")
    assert page.evaluate("window.slipped") is None
    assert any("Content Security Policy" in complaint for complaint in visit.complaints)
