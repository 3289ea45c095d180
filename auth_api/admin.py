"""Accounts in the admin."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from knox.models import AuthToken
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from auth_api import services
from auth_api.models import User

_RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")

if admin.site.is_registered(AuthToken):  # knox's page would show a fresh token to whoever may add one
    admin.site.unregister(AuthToken)


class AccountCreationForm(UserCreationForm):  # type: ignore[misc]  # unfold has no types
    """A new account; Django's form names its own user model."""

    class Meta:
        """What is asked for besides the password."""

        model = User
        fields = ("email", "name", "language")


class AccountPasswordForm(AdminPasswordChangeForm):  # type: ignore[misc]  # unfold has no types
    """Sets a password through the same door as the API: sessions and codes end, and the holder is told."""

    def save(self, commit: bool = True) -> User:
        """Store the password."""
        usable = self.cleaned_data["set_usable_password"]
        services.set_password(self.user, self.cleaned_data["password1"] if usable else None)
        return self.user  # type: ignore[no-any-return]  # unfold has no types


@admin.register(User)
class AccountAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # unfold has no types
    """Staff see and help; only a superuser hands out rights."""

    form = UserChangeForm
    add_form = AccountCreationForm
    change_password_form = AccountPasswordForm
    list_display = ("email", "name", "language", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff", "language")
    search_fields = ("email", "name")
    ordering = ("-created_at",)
    readonly_fields = ("last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("email", "name", "language", "password")}),
        ("Rights", {"fields": ("is_active", *_RIGHTS)}),
        ("Times", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "language", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Nobody gives themselves more rights than they have."""
        fixed: tuple[str, ...] = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, *_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Who could set a superuser's password could become one."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As for changing."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _may_touch(request: HttpRequest, account: User | None) -> bool:
    return account is None or request.user.is_superuser or not account.is_superuser
