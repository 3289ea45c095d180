"""How the admin looks: its title, its first page, and the links at its side."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy


def _link(title: str, icon: str, page: str, needs: str, query: str = "") -> dict[str, Any]:
    """A link to the list of one model, for those who may see it."""
    return {
        "title": title,
        "icon": icon,
        "link": lambda _: reverse(f"admin:{page}_changelist") + query,
        "permission": _sees(needs),
    }


def _sees(needs: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(needs)


UNFOLD = {
    "SITE_TITLE": "Accounts and their mails",
    "SITE_HEADER": "Outbox",
    "SITE_SYMBOL": "outgoing_mail",
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "outbox.dashboard.fill",
    "SIDEBAR": {
        "navigation": [
            {
                "title": "Mail",
                "items": [
                    {"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    _link("Mails", "mail", "outbox_intent", "outbox.view_intent"),
                    _link("Dead letters", "unsubscribe", "outbox_intent", "outbox.view_intent", "?state__exact=dead"),
                    _link("Errands", "checklist", "outbox_errand", "outbox.view_errand"),
                    _link("Provider", "dns", "outbox_provider", "outbox.view_provider"),
                ],
            },
            {
                "title": "Accounts",
                "items": [
                    _link("Users", "person", "auth_api_user", "auth_api.view_user"),
                    _link("Groups", "group", "auth_group", "auth.view_group"),
                ],
            },
        ],
    },
}
