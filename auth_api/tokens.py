"""Authenticates a request by the token that login answered with; the database holds only its hash."""

import re

from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed

from auth_api.models import User

_FORM = re.compile(rb"[0-9a-f]{64}")


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's, which asks the database whatever the header holds: NUL or other bytes would be a 500."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, object]:
        """The account and its token.

        Raises:
            AuthenticationFailed: unknown, expired, not a token, or of an account that is not active.
        """
        if not _FORM.fullmatch(token):
            raise AuthenticationFailed
        found: tuple[User, object] = super().authenticate_credentials(token)
        return found
