"""Set somebody's password from the command line."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from auth_api import services
from auth_api.models import User


class Command(changepassword.Command):
    """Django's, which then ends the sessions and codes of the account and tells its holder."""

    @transaction.atomic  # while somebody types it holds no lock
    def handle(self, *args: Any, **options: Any) -> str:
        """See the class."""
        said = super().handle(*args, **options)
        services.password_was_set(User.objects.get(email=options["username"] or getpass.getuser()))
        return str(said)
