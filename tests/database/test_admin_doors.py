"""Every page of the admin is closed to those who may not enter, and reading changes nothing."""

from contextlib import suppress

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from outbox import errands
from outbox.states import State
from tests.database.admin_steps import enter
from tests.database.outbox_steps import provider
from tests.factories import make_intent

OPEN = {"login", "jsi18n", "logout"}  # the way in, the words of scripts, and the way out
WRITES = ("INSERT", "UPDATE", "DELETE")
SESSION = ("django_session", "auth_api_user")  # who looks is remembered

pytestmark = pytest.mark.django_db


def pages(patterns: list[URLPattern | URLResolver]) -> list[URLPattern]:
    """All patterns of the admin."""
    found = []
    for pattern in patterns:
        found += pages(pattern.url_patterns) if isinstance(pattern, URLResolver) else [pattern]
    return found


def addresses() -> dict[str, str]:
    """Name and address of every page, with rows where one is asked for."""
    rows: dict[str, object] = {"intent": make_intent(State.DEAD).pk, "provider": provider().pk}
    rows["errand"] = errands.begin("cancel", [make_intent().pk], actor="olga@example.com").pk
    names = [pattern.name for pattern in pages(admin.site.urls[0]) if pattern.name]
    return {name: address for name in names if (address := address_of(name, rows))}


def address_of(name: str, rows: dict[str, object]) -> str | None:
    model = name.split("_")[-2] if name.count("_") > 1 else ""
    mails: list[list[object]] = [["welcome", "en", "html"], [rows["intent"], "html"]]
    possible: list[list[object]] = [[], [rows.get(model, 1)], ["outbox"], *mails]
    for args in possible:
        with suppress(NoReverseMatch):
            return reverse(f"admin:{name}", args=args)
    return None


def test_every_page_is_known_to_this_test():
    named = {pattern.name for pattern in pages(admin.site.urls[0]) if pattern.name}

    assert named == addresses().keys()
    assert len(named) > 30


def test_who_is_not_logged_in_is_sent_to_the_door(client: Client):
    for name, address in addresses().items():
        if name not in OPEN:
            for answer in (client.get(address), client.post(address)):
                assert answer.status_code in {302, 403, 405}, name
                assert answer.status_code != 302 or "/login/" in answer["Location"], name


def test_who_is_staff_without_permissions_sees_no_model(client: Client):
    enter(client)
    models = {model._meta.label_lower.replace(".", "_") for model in apps.get_models()}

    for name, address in addresses().items():
        if name.startswith("outbox_") or name.rpartition("_")[0] in models:
            assert client.get(address).status_code in {302, 403, 405}, name


def test_reading_changes_nothing(client: Client):
    enter(client, is_superuser=True)
    for name, address in addresses().items():
        if name in OPEN:
            continue
        with CaptureQueriesContext(
            connection,
        ) as seen:
            answer = client.get(address)
        assert answer.status_code in {200, 302, 403, 404, 405}, name
        written = [query["sql"] for query in seen if query["sql"].lstrip().upper().startswith(WRITES)]
        assert [sql for sql in written if not any(table in sql for table in SESSION)] == [], name
