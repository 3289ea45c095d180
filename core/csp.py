"""Adds a Content-Security-Policy to every answer: strict, and looser only below the paths that need it."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase


class PolicyMiddleware(CSPMiddleware):
    """Django-csp's, with the policies of CONTENT_SECURITY_POLICY_BELOW for whole parts of the site."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """What the view says itself, else what its part of the site has, else the strict policy."""
        parts = super().get_policy_parts(request, response, report_only)
        if not report_only and parts.config is None:
            below = settings.CONTENT_SECURITY_POLICY_BELOW.items()
            parts.config = next((policy for path, policy in below if request.path_info.startswith(path)), None)
        return parts
