"""What the tables refuse."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone
from knox.models import AuthToken

from auth_api import pruner, throttles
from auth_api.addresses import AddressRefused
from auth_api.models import Allowance, PasswordReset, User
from tests.database.auth_steps import EMAIL, PASSWORD, make_user, token_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def make_request(**fields):
    now = timezone.now()
    row = {"address": EMAIL, "nonce": b"n" * 16, "key_fingerprint": "f" * 16, "expires_at": now + DAY}
    return PasswordReset.objects.create(**{**row, **fields})


def test_an_address_belongs_to_one_account_whatever_its_case():
    make_user("Layla@Example.com")

    with pytest.raises(IntegrityError, match="user_email_is_unique"):
        make_user("lAYLA@example.COM")


def test_the_table_takes_no_address_in_another_case():
    with pytest.raises(IntegrityError, match="user_email_is_lower_case"):
        User.objects.create(email="Layla@example.com", name="Layla")


def test_the_table_takes_no_language_that_no_mail_is_written_in():
    with pytest.raises(IntegrityError, match="user_language_is_known"):
        make_user(language="fr")


def test_a_person_is_found_by_their_address_however_it_is_typed():
    user = make_user()

    assert User.objects.get_by_natural_key(" LAYLA@Example.com ") == user
    for unknown in ("", None, "nobody@example.com", "nonsense"):
        with pytest.raises(User.DoesNotExist):
            User.objects.get_by_natural_key(unknown)


def test_a_lookalike_is_refused_wherever_it_comes_in():
    with pytest.raises(ValidationError, match="Before the @-sign"):
        User(email="\u212aate@example.com", name="Kate").full_clean()
    with pytest.raises(AddressRefused):
        make_user("\u212aate@example.com")


def test_createsuperuser_works_without_a_person(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", "--noinput", email="Root@Example.com", name="Root", verbosity=0)

    root = User.objects.get()
    assert (root.email, root.is_staff, root.is_superuser) == ("root@example.com", True, True)
    assert root.check_password(PASSWORD)
    with pytest.raises(CommandError):
        call_command("createsuperuser", "--noinput", email="ROOT@example.com", name="Root", verbosity=0)
    with pytest.raises(CommandError, match="not an email address"):
        call_command("createsuperuser", "--noinput", email="nonsense", name="Root", verbosity=0)


def test_an_address_has_one_unclosed_request():
    make_request(closed_at=timezone.now(), closed_reason="superseded")
    make_request()

    with pytest.raises(IntegrityError, match="reset_one_unclosed_per_address"):
        make_request()


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("reset_closed_with_a_reason", {"closed_at": timezone.now()}),
        ("reset_closed_with_a_reason", {"closed_reason": "used"}),
        ("reset_closed_with_a_reason", {"closed_at": timezone.now(), "closed_reason": "other"}),
        ("reset_at_most_five_tries", {"wrong_tries": 5}),
        ("reset_at_most_five_tries", {"wrong_tries": 6, "closed_at": timezone.now(), "closed_reason": "tries"}),
        ("reset_expires_after_creation", {"expires_at": timezone.now() - DAY}),
    ],
)
def test_a_request_outside_the_picture_is_refused(constraint, fields):
    with pytest.raises(IntegrityError, match=constraint):
        make_request(**fields)


def test_pruning_deletes_what_no_longer_counts_and_nothing_else(capsys):
    make_user()
    kept, ended = token_of(), token_of()  # counts for one client and one address
    AuthToken.objects.filter(token_key=ended[:15]).update(expiry=timezone.now() - timedelta(seconds=1))
    make_request(address="old@example.com", created_at=timezone.now() - 3 * DAY, expires_at=timezone.now() - 2 * DAY)
    make_request(created_at=timezone.now() - DAY, expires_at=timezone.now() - DAY / 2)
    Allowance.objects.create(key="login:old", hits=[timezone.now() - DAY])

    call_command("auth_prune")

    assert capsys.readouterr().out == "deleted 1 reset requests, 1 sessions, 1 allowances\n"
    assert AuthToken.objects.get().token_key == kept[:15]
    assert PasswordReset.objects.get().address == EMAIL
    assert Allowance.objects.count() == 2
    assert pruner.prune() == pruner.Pruned(requests=0, sessions=0, allowances=0)
    assert throttles.prune() == 0
