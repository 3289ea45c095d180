"""Makes the kinds of mail this app asks for known in every process."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps  # the class itself would be found here, and taken
from django.utils.module_loading import autodiscover_modules


class AuthApiConfig(AppConfig):
    """Accounts: who a person is, and how they prove it."""

    name = "auth_api"
    verbose_name = "accounts"

    def ready(self) -> None:
        """Declare the kinds of mail, which register themselves on import."""
        autodiscover_modules("mails")


class AccountsAdminConfig(admin_apps.AdminConfig):
    """Django's admin on a site of ours; settings name it instead of django.contrib.admin."""

    default = False  # not what "auth_api" stands for
    default_site = "auth_api.sites.AccountsAdminSite"
