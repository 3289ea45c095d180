"""Which URL belongs to which app."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/auth/", include("auth_api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("", include("outbox.urls")),
]
handler400 = "auth_api.errors.bad_request"
handler403 = "auth_api.errors.forbidden"
handler404 = "auth_api.errors.not_found"
handler500 = "auth_api.errors.server_error"
