"""Steps that tests of the admin share."""

import re
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from auth_api.models import User

LIST = "admin:outbox_intent_changelist"
PAGE = "admin:outbox_intent_change"


def make_staff(*permissions: str, email: str = "olga@example.com", is_superuser: bool = False) -> User:
    """Somebody who may enter the admin, with these permissions of the outbox."""
    user = User.objects.create_user(email=email, name="Olga", password="a-Long-pass-phrase")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="outbox", codename__in=permissions))
    return User.objects.get(pk=user.pk)


def enter(client: Client, *permissions: str, **given: Any) -> User:
    """Log somebody in with these permissions."""
    user = make_staff(*permissions, **given)
    client.force_login(user)
    return user


def ask(client: Client, action: str, *pks: int, query: str = "", across: bool = False, **more: str) -> Any:
    """Choose an action for these intents in the list; with `across`, for all that the query finds."""
    data = {"action": action, "index": "0", "select_across": str(int(across)), "_selected_action": [*map(str, pks)]}
    return client.post(reverse(LIST) + query, {**data, **more})


def confirm(client: Client, action: str, *pks: int, query: str = "", across: bool = False, **more: str) -> Any:
    """Choose it, and say yes to the page that asks."""
    page = ask(client, action, *pks, query=query, across=across)
    return ask(client, action, *pks, query=query, across=across, **{**answers(page), **more})


def answers(page: Any) -> dict[str, Any]:
    """What the page that asks sends back, beside the action and the mails."""
    found = dict(re.findall(r'name="(confirmed|number|form)" value="([^"]+)"', page.content.decode()))
    assert len(found) == 3, "no page that asks"
    return found
