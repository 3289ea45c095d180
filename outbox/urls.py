"""The outbox's addresses."""

from django.urls import path

from outbox import views

urlpatterns = [
    path("api/outbox/<uuid:task_id>/", views.IntentView.as_view(), name="intent"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
]
