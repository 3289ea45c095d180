"""What the mails of this app hold, and what is read only when they are about to be sent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from auth_api import mails
from auth_api.models import ClosedReason, PasswordReset, User
from outbox import kinds
from outbox.kinds import Bound, Lacking, Over, Priority, Unbound
from outbox.models import Intent
from tests.database.auth_steps import EMAIL, code_of, make_user, requested

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def unbound(context=None, recipient=EMAIL):
    return Unbound(recipient=recipient, language="en", context=context or {})


def bind(kind: str, asked: list[Unbound]) -> Any:
    binder: Any = kinds.get(kind).bind
    return binder(asked)


def bind_code(**changes):
    """Bind the mail of the one request, after these changes to its row."""
    PasswordReset.objects.update(**changes)
    (bound,) = bind("reset_code", [unbound({"request": PasswordReset.objects.get().pk})])
    return bound


def test_a_code_is_bound_with_the_name_and_language_of_the_account():
    make_user(name="ليلى", language="ar")
    code = requested()

    assert bind_code() == Bound(context={"name": "ليلى", "code": code, "minutes": 60}, language="ar")


def test_a_mail_that_is_late_says_how_long_its_code_is_still_good():
    make_user()
    requested()

    late = bind_code(created_at=timezone.now() - HOUR, expires_at=timezone.now() + timedelta(minutes=20))
    last = bind_code(expires_at=timezone.now() + timedelta(seconds=10))
    assert (late.context["minutes"], last.context["minutes"]) == (20, 1)


@pytest.mark.parametrize("reason", ClosedReason)
def test_a_code_whose_request_is_closed_is_not_mailed(reason):
    make_user()
    requested()

    assert bind_code(closed_at=timezone.now(), closed_reason=reason) == Over(f"its reset request is closed: {reason}")


def test_a_code_past_its_hour_is_not_mailed():
    make_user()
    requested()

    expired = bind_code(created_at=timezone.now() - 2 * HOUR, expires_at=timezone.now() - HOUR)
    assert expired == Over("its reset request has expired")


def test_a_code_for_nobody_is_not_mailed():
    requested()
    assert bind_code() == Over("no active account has this address")

    user = make_user(is_active=False)
    assert bind_code() == Over("no active account has this address")

    User.objects.filter(pk=user.pk).update(is_active=True)
    assert isinstance(bind_code(), Bound)


def test_a_code_whose_request_is_gone_or_of_another_address_is_not_mailed():
    make_user()
    make_user("other@example.com")
    requested()
    request = PasswordReset.objects.get().pk

    answers = bind("reset_code", [unbound({"request": 0}), unbound({"request": request}, "other@example.com")])
    assert answers == [Over("its reset request is gone")] * 2


def test_a_worker_without_the_key_gives_the_mail_back_and_one_with_the_old_key_sends_it(settings):
    make_user()
    code = requested()
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret, fifty letters long, for this test only"
    assert isinstance(bind_code(), Lacking)

    settings.SECRET_KEY_FALLBACKS = [old]
    assert bind_code().context["code"] == code


def test_a_round_of_codes_is_bound_by_two_queries_in_the_order_asked():
    addresses = [f"{number}@example.com" for number in range(5)]
    for address in addresses:
        make_user(address, name=f"Person {address[0]}")
        requested(address)
    asked = [unbound(intent.context, intent.recipient) for intent in Intent.objects.order_by("-pk")]

    with CaptureQueriesContext(connection) as captured:
        bound = bind("reset_code", asked)

    assert len(captured) == 2
    assert [each.context["name"][-1] for each in bound] == ["4", "3", "2", "1", "0"]
    assert [each.context["code"] for each in bound] == [code_of(address) for address in reversed(addresses)]


def test_a_round_about_existing_accounts_is_bound_by_one_query():
    make_user(name="ليلى", language="ar")
    make_user("off@example.com", is_active=False)
    asked = [unbound(recipient=address) for address in (EMAIL, "off@example.com", "nobody@example.com")]

    with CaptureQueriesContext(connection) as captured:
        bound = bind("account_exists", asked)

    nobody = Over("no active account has this address")
    assert bound == [Bound(context={"name": "ليلى"}, language="ar"), nobody, nobody]
    assert len(captured) == 1


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "24 November 2026, 13:05 (Asia/Dubai)"), ("ar", "24 نوفمبر 2026، 13:05 (Asia/Dubai)")],
)
def test_the_time_of_a_change_is_told_on_the_clocks_of_the_site(language, words, monkeypatch):
    monkeypatch.setattr("auth_api.mails.timezone.now", lambda: datetime(2026, 11, 24, 9, 5, tzinfo=UTC))

    mails.password_changed(make_user(language=language), client="")

    assert Intent.objects.get().context == {"name": "Layla Haddad", "changed_at": words, "client": ""}


def test_codes_go_before_everything_else_and_die_with_their_hour():
    kind: Any = kinds.get("reset_code")

    assert (kind.priority, kind.lifetime) == (Priority.HIGH, HOUR)
    assert [kind.retries.backoff(spent, 0).total_seconds() for spent in (1, 2, 3)] == [15, 60, 240]
    assert kind.retries.max_retries == 5
