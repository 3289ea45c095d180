"""`ops/screenshots`: the admin over a made-up day of mail, in the light, in the dark and on a phone."""

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from ops.dev.bootstrap import ROOT
from ops.dev.child import Child, Order
from ops.dev.place import clean_environment
from ops.dev.programs import Web
from ops.dev.stack import running_stack

FOLDER = ROOT / "ops" / "pictures"
DESK: ViewportSize = {"width": 1100, "height": 780}
PHONE: ViewportSize = {"width": 390, "height": 780}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PERSON = "olga@example.com"


def browser_path() -> str | None:
    """The system's Chromium, if there is one."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def main() -> int:
    """Take them all; the exit code."""
    chromium = browser_path()
    if chromium is None:
        print(f"ops/screenshots needs one of {', '.join(_BROWSERS)}", file=sys.stderr)
        return 1
    password = secrets.token_urlsafe(12)
    with running_stack() as stack, tempfile.TemporaryDirectory() as logs:
        env = clean_environment(
            DEBUG="1", DATABASE_URL=stack.postgres.url, REDIS_URL=stack.redis.url, SECRET_KEY=secrets.token_urlsafe(50)
        )
        _run("manage.py", "migrate", "--verbosity", "0", env=env)
        person = {"DJANGO_SUPERUSER_PASSWORD": password}
        words = ("createsuperuser", "--noinput", "--email", _PERSON, "--name", "Olga", "--verbosity", "0")
        _run("manage.py", *words, env={**env, **person})
        _run("-m", "ops.dev.sample", env=env)
        web = Web(env, Path(logs))
        try:
            web.start()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                _take_all(browser, web.site.url, password)
                browser.close()
        finally:
            web.stop()
    return 0


def _run(*argv: str, env: dict[str, str]) -> None:
    child = Child(Order(argv=[sys.executable, *argv], env={**env, "PYTHONPATH": str(ROOT)}))
    child.start()
    if child.wait() != 0:
        raise OSError(f"{argv} failed")


def _take_all(browser: Browser, site: str, password: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    for look, size, scheme in (("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "light")):
        context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
        page = context.new_page()
        _log_in(page, site, password)
        _take(page, f"{site}/admin/", f"dashboard-{look}")
        _take(page, f"{site}/admin/outbox/intent/", f"list-{look}")
        page.goto(f"{site}/admin/outbox/intent/?state__exact=dead")
        page.locator("th a[href*='/change/']").first.click()
        _take(page, page.url, f"detail-{look}")
        context.close()


def _log_in(page: Page, site: str, password: str) -> None:
    page.goto(f"{site}/admin/")
    page.fill("input[name=username]", _PERSON)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{site}/admin/")


def _take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")
    print(os.path.relpath(FOLDER / f"{name}.png", ROOT))
