"""The WSGI entry point."""

from django.core.wsgi import get_wsgi_application

import core.celery  # noqa: F401  (loads Django; without it shared tasks would not know the broker)

application = get_wsgi_application()
