"""Pages of the admin that show mails as their recipients see them. They only read, and nothing in a mail runs."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from jinja2 import TemplateError
from unfold.admin import ModelAdmin
from unfold.decorators import action

from outbox import kinds, previews
from outbox.errors import OutboxError
from outbox.models import Intent
from outbox.previews import Preview

# The page is shown as data: in a frame of ours at most, without scripts, forms, or anything fetched.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
_TYPES = {"html": "text/html", "txt": "text/plain", "eml": "text/plain"}
# Tabs without a script: links that open in the frame.
_FRAME = """<p class="ob-tabs"><a href="{0}html" target="mail">HTML</a> <a href="{0}txt" target="mail">text</a> \
<a href="{0}eml" target="mail">source</a></p>
<iframe sandbox loading="lazy" src="{0}html" name="mail" title="The mail" style="display:block;width:100%;\
max-width:640px;height:720px;border:1px solid #8886;border-radius:8px;background:#fff"></iframe>
<p style="margin-top:8px">From what is stored; what is read only when it is sent, such as a code, is made up.</p>"""


class PreviewAdmin(ModelAdmin):  # type: ignore[misc]
    """What IntentAdmin needs for both: every kind by its sample, and the mail of one intent."""

    actions_list = ["mails"]

    def get_urls(self) -> list[URLPattern]:
        """The parts of mails, before the admin's own pattern that takes everything for an id."""
        own = [
            path("mails/<str:kind>/<str:language>/<str:part>", self._guarded(self._sample), name="outbox_sample"),
            path("<path:object_id>/mail/<str:part>", self._guarded(self._mail), name="outbox_mail"),
        ]
        return [*own, *super().get_urls()]

    def _guarded(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        guarded: Callable[..., HttpResponse] = self.admin_site.admin_view(require_safe(view))
        return guarded

    @action(description="Look at the mails", permissions=["view"])
    @method_decorator(require_safe)
    def mails(self, request: HttpRequest) -> HttpResponse:
        """Every kind in every language."""
        context = {**self.admin_site.each_context(request), "title": "Mails", "previews": previews.build_all()}
        return TemplateResponse(request, "admin/outbox/intent/mails.html", context)

    @admin.display(description="mail")
    def show_mail(self, intent: Intent) -> SafeString:
        """The mail in a frame, as a part of the intent's page."""
        return format_html(_FRAME, reverse("admin:outbox_mail", args=[intent.pk, "html"]).removesuffix("html"))

    def _sample(self, request: HttpRequest, kind: str, language: str, part: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in kinds.names() or language not in dict(settings.LANGUAGES):
            raise Http404
        return _shown(lambda: previews.build(kind, language), part)

    def _mail(self, request: HttpRequest, object_id: str, part: str) -> HttpResponse:
        intent = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, intent):
            raise PermissionDenied
        if intent is None:
            raise Http404
        return _shown(lambda: previews.build_for(intent), part)


def _shown(build: Callable[[], Preview], part: str) -> HttpResponse:
    """One part of the mail, or the sentence that says why there is none, so guarded that nothing in it runs."""
    if part not in _TYPES:
        raise Http404
    try:
        response = HttpResponse(build().part(part), content_type=f"{_TYPES[part]}; charset=utf-8")
    except (OutboxError, TemplateError) as error:
        said = f"This mail cannot be shown: {error}."
        response = HttpResponse(said, content_type="text/plain; charset=utf-8", status=404)
    response["Content-Security-Policy"] = _POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response
