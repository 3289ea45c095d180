"""Accounts in the admin."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from auth_api.models import User
from outbox.models import Intent
from tests.database.auth_steps import EMAIL, NEW_PASSWORD, PASSWORD, confirm, make_user, requested, send, token_of

pytestmark = pytest.mark.django_db
LIST = "/admin/auth_api/user/"


def page_of(user, page="change"):
    return f"{LIST}{user.pk}/{page}/"


@pytest.fixture
def admin():
    root = User.objects.create_superuser(email="root@example.com", name="Root", password=PASSWORD)
    caller = Client()
    caller.force_login(root)
    return caller


@pytest.fixture
def helper():
    """A caller on the staff who may change accounts, and no more."""
    person = make_user("helper@example.com", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="auth_api"))
    caller = Client()
    caller.force_login(person)
    return caller


def test_the_login_page_takes_an_address_in_any_case(client):
    User.objects.create_superuser(email="root@example.com", name="Root", password=PASSWORD)

    answer = client.post("/admin/login/", {"username": "ROOT@example.com", "password": PASSWORD, "next": LIST})

    assert (answer.status_code, answer.headers["Location"]) == (302, LIST)


def test_a_name_cannot_break_a_page(admin):
    user = make_user(name='<script>alert("x")</script>')

    for path in (LIST, page_of(user), page_of(user, "password"), page_of(user, "delete"), f"{LIST}?q=script"):
        answer = admin.get(path)
        assert answer.status_code == 200
        assert '<script>alert("x")' not in answer.content.decode()


def test_no_page_shows_a_hash(admin):
    user = make_user()

    assert user.password not in admin.get(page_of(user)).content.decode()


def test_an_account_can_be_created(admin):
    form = {"email": "New@Example.com", "name": "New", "language": "ar", "usable_password": "true"}
    answer = admin.post(f"{LIST}add/", {**form, "password1": PASSWORD, "password2": PASSWORD})

    user = User.objects.get(email="new@example.com")
    assert answer.status_code == 302
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize("email", ["nonsense", "\u212aate@example.com", "LAYLA@example.com"])
def test_an_account_is_not_created_for_a_bad_or_taken_address(admin, email):
    make_user()
    form = {"email": email, "name": "New", "language": "ar", "usable_password": "true"}
    answer = admin.post(f"{LIST}add/", {**form, "password1": PASSWORD, "password2": PASSWORD})

    assert answer.status_code == 200
    assert User.objects.count() == 2


def test_a_password_set_by_staff_ends_sessions_and_codes_and_is_told(admin):
    user = make_user()
    token = token_of()
    code = requested()

    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert admin.post(page_of(user, "password"), form).status_code == 302

    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)
    assert send("get", "me/", token=token).status_code == 401
    assert confirm(code).status_code == 400
    assert Intent.objects.filter(kind="password_changed", recipient=EMAIL).count() == 1


def test_password_login_can_be_turned_off(admin):
    user = make_user()

    form = {"password1": "", "password2": "", "usable_password": "false", "unset-password": "1"}
    assert admin.post(page_of(user, "password"), form).status_code == 302
    user.refresh_from_db()
    assert not user.has_usable_password()


def test_helpers_cannot_give_rights_or_touch_a_superuser(helper):
    root = User.objects.create_superuser(email="root@example.com", name="Root", password=PASSWORD)
    user = make_user()
    form = {"email": EMAIL, "name": "Changed", "language": "en", "is_active": "on", "is_superuser": "on"}

    assert helper.post(page_of(user), {**form, "is_staff": "on"}).status_code == 302
    user.refresh_from_db()
    assert (user.name, user.is_staff, user.is_superuser) == ("Changed", False, False)
    assert helper.post(page_of(root), {**form, "email": root.email}).status_code == 403
    assert helper.post(page_of(root, "password"), {"password1": "x", "password2": "x"}).status_code == 403
    assert helper.post(page_of(root, "delete"), {"post": "yes"}).status_code == 403


def test_tokens_are_not_made_in_the_admin(admin):
    assert admin.get("/admin/knox/authtoken/").status_code == 404
