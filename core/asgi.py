"""The ASGI entry point."""

from django.core.asgi import get_asgi_application

import core.celery  # noqa: F401  (loads Django; without it shared tasks would not know the broker)

application = get_asgi_application()
