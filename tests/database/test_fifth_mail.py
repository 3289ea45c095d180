"""The README adds a kind of mail in at most four steps; here they are followed, word by word, in another folder."""

import re
import shutil
from pathlib import Path
from uuid import uuid4

import html5lib
import pytest
from babel.messages.frontend import CommandLineInterface
from django.core.management import call_command
from django.db import transaction

from auth_api import mails
from auth_api.models import User
from outbox import checks, kinds, previews, rendering
from outbox.models import Intent

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
_SECTION = re.compile(r"^### Add a mail\n(?P<steps>.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^ *`(?P<path>[^`\n]+)`\n *```\w+\n(?P<source>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_ENGLISH = "Somebody signed in to your account with Firefox 140."
_ARABIC = "سُجّل الدخول إلى حسابك من "


def steps():
    section = _SECTION.search((ROOT / "README.md").read_text("utf-8"))
    assert section
    return re.split(r"^\d+\. ", section["steps"], flags=re.MULTILINE)[1:]


def files(step):
    """What the step says to write where; the list's indentation is not part of it."""
    return {found["path"]: re.sub(r"^ {3}", "", found["source"], flags=re.MULTILINE) for found in _FILE.finditer(step)}


@pytest.fixture
def site(settings, tmp_path, monkeypatch):
    """The project's templates and catalogue in another folder, and a registry of kinds that may be added to."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path / "templates"]}]
    settings.LOCALE_PATHS = [tmp_path / "templates/locale"]
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    return tmp_path


def write(site, step):
    for path, source in files(step).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(source, "utf-8")


def translate(site, step):
    for path, entries in files(step).items():
        with (site / path).open("a", encoding="utf-8") as catalogue:
            catalogue.write(f"\n{entries}")
    [command] = re.findall(r"`python -m babel\.messages\.frontend (compile [^`]*)`", step)
    words = [str(site / word) if word.startswith("templates") else word for word in command.split()]
    CommandLineInterface().run(["pybabel", "--quiet", *words])


def declare(step):
    """Run what the step adds to the module of the app, and return what it defines."""
    [source] = files(step).values()
    namespace = dict(vars(mails))
    exec(compile(source, "README.md", "exec"), namespace)  # noqa: S102
    return namespace


def found():
    return {problem.id for problem in checks.every_kind_keeps_the_contract()}


def test_there_are_at_most_four_steps():
    assert 1 <= len(steps()) <= 4


def test_who_follows_the_steps_has_a_mail_that_is_checked_rendered_and_enqueued(site):
    writing, translating, declaring, looking = steps()

    write(site, writing)
    translate(site, translating)
    new = declare(declaring)

    assert found() == set()
    english, arabic = (
        rendering.render("new_device", language, kinds.get("new_device").sample) for language in ("en", "ar")
    )
    assert _ENGLISH in english.text
    assert _ARABIC in arabic.text
    assert (english.subject, arabic.language) == ("New sign-in to Accounts", "ar")
    html5lib.HTMLParser(strict=True).parse(arabic.html)
    assert "test_email_tasks --preview" in looking
    call_command("test_email_tasks", preview=site / "previews", verbosity=0)
    assert len(list((site / "previews").glob("new_device.*"))) == 6

    user = User.objects.create_user(email="layla@example.com", name="ليلى", password=uuid4().hex)
    with transaction.atomic():
        task_id = new["new_device"](user, "Firefox 140")
    intent = Intent.objects.get(task_id=task_id)
    assert (intent.kind, intent.recipient, intent.state) == ("new_device", "layla@example.com", "pending")
    assert _ENGLISH in previews.build_for(intent).rendered.text


@pytest.mark.parametrize(("left_out", "complaint"), [(0, "outbox.E002"), (1, "outbox.E004")])
def test_who_leaves_a_step_out_is_told_by_the_check(site, left_out, complaint):
    if left_out != 0:
        write(site, steps()[0])
    if left_out != 1:
        translate(site, steps()[1])
    declare(steps()[2])

    assert found() == {complaint}
