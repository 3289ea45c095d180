"""Connects the system checks and the receivers."""

from importlib import import_module

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """The outbox: intents, their attempts, and what sends them."""

    name = "outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Check the settings, and connect receivers and checks, which register themselves on import."""
        import_module("outbox.conf").outbox()
        import_module("outbox.brand").verify()
        import_module("outbox.transport").verify()
        import_module("outbox.sandbox").current()
        for module in ("checks", "receivers"):
            import_module(f"outbox.{module}")
        import_module("outbox.spans").connect()
