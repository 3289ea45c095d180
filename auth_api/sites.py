"""The admin's site: its login is limited as the API's, and one's own password is changed through the same door."""

from typing import Any

from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from rest_framework.exceptions import Throttled
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.sites import UnfoldAdminSite

from auth_api import addresses, clients, services, texts, throttles
from auth_api.models import User


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold has no types
    """Ends the other sessions and codes of the account, and tells its holder."""

    def save(self, commit: bool = True) -> User:
        """Store the password."""
        services.set_password(self.user, self.cleaned_data["new_password1"])
        return self.user  # type: ignore[no-any-return]  # unfold has no types


class AccountsAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """Unfold's, with the rules of accounts."""

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The login page; each try counts for its client and its address, together with those of the API."""
        try:
            if request.method == "POST":
                _count(request)
        except Throttled as refused:
            return _too_many(refused)
        page: HttpResponse = super().login(request, extra_context)
        return page

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page on which staff change their own password."""
        page = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return page(request)  # type: ignore[return-value]  # it renders itself


def _count(request: HttpRequest) -> None:
    throttles.check_client("login", clients.address_of(request))
    try:
        address = addresses.normalise(request.POST.get("username", ""))
    except addresses.AddressRefused:
        return  # then nobody has it
    throttles.check_address("login", address)


def _too_many(refused: Throttled) -> HttpResponse:
    said = f"{texts.THROTTLED.en}\n{texts.THROTTLED.ar}\n"
    headers = {"Retry-After": str(refused.wait)}  # type: ignore[attr-defined]  # the stubs do not know it
    return HttpResponse(said, "text/plain; charset=utf-8", status=refused.status_code, headers=headers)
