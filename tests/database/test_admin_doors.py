"""Every page of the admin is closed to those who may not enter, and reading changes nothing."""

from contextlib import suppress
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from outbox import errands
from outbox.models import Provider
from outbox.states import State
from tests.database.admin_steps import enter
from tests.database.auth_steps import make_user
from tests.database.outbox_steps import provider
from tests.factories import make_intent

OPEN = {"login", "jsi18n", "logout"}  # the way in, the words of scripts, and the way out
SESSION = ("django_session", "auth_api_user")  # who looks is remembered
DIGEST = "SELECT '{0}', md5(string_agg(whole::text, ' ' ORDER BY whole::text)) FROM {0} AS whole"

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
    rows["errand"] = errands.begin("cancel", [make_intent().pk], actor="olga@example.com")[0].pk
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


def closed(answer: Any) -> bool:
    """Whether it shows nothing: it is refused, or leads to the login."""
    return answer.status_code == 403 or (answer.status_code == 302 and "/login/" in answer["Location"])


@pytest.mark.parametrize("is_known", [False, True], ids=["stranger", "customer"])
def test_who_is_no_staff_gets_in_nowhere(client: Client, is_known):
    if is_known:
        client.force_login(make_user())
    for name, address in addresses().items():
        if name not in OPEN:
            for answer in (client.get(address), client.post(address)):
                assert closed(answer), (name, answer.status_code)


def test_who_is_staff_without_permissions_sees_no_model(client: Client):
    enter(client)
    models = {model._meta.label_lower.replace(".", "_") for model in apps.get_models()}

    for name, address in addresses().items():
        if name.startswith("outbox_") or name.rpartition("_")[0] in models:
            assert client.get(address).status_code in {302, 403}, name  # what is not there leads to the first page
            assert client.post(address).status_code in {302, 403, 405}, name


def test_who_may_only_look_changes_nothing_by_any_method(client: Client):
    enter(client, "view_intent", "view_provider", "view_errand")
    pages_ = addresses()
    before = content()

    for name, address in pages_.items():
        if name.startswith("outbox_"):
            for method in (client.post, client.put, client.patch, client.delete):
                answer = method(address)
                assert content() == before, (name, answer.status_code)


def test_reading_changes_nothing(client: Client):
    enter(client, is_superuser=True)
    others = {path: path for path in ("/healthz", "/readyz", "/metrics", "/api/schema/", "/api/docs/")}
    pages_ = {**addresses(), **others}
    Provider.objects.all().delete()  # before the first tick there is none, and looking makes none
    before = content()

    for name, address in pages_.items():
        if name not in OPEN:
            answer = client.get(address)
            assert answer.status_code in {200, 302, 403, 404, 405}, name
            assert content() == before, name


def content() -> dict[str, str]:
    """A digest of every table, but for what remembers who looks."""
    tables = [table for table in connection.introspection.table_names() if table not in SESSION]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(map(DIGEST.format, sorted(tables))))
        return dict(cursor.fetchall())
