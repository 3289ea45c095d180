"""Settings of the compared systems; BENCHMARK_APP names the one that is measured, and only that is installed."""

import os
from pathlib import Path

import dj_database_url

HERE = Path(__file__).resolve().parent
_APP = os.environ["BENCHMARK_APP"]
_SMTP = "django.core.mail.backends.smtp.EmailBackend"

SECRET_KEY = "benchmark"  # noqa: S105  (signs nothing)
DEBUG = False
USE_TZ = True
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ar", "العربية")]
LOCALE_PATHS = [HERE.parents[2] / "templates" / "locale"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *{"post_office": ["post_office"], "mailer": ["mailer"], "celery_email": ["djcelery_email"]}.get(_APP, []),
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # The layout is the one that rendering is compared with.
        "DIRS": [HERE / "templates", HERE.parent / "django_mail"],
        "OPTIONS": {"builtins": ["django.templatetags.i18n"]},
    }
]
DATABASES = {"default": {**dj_database_url.parse(os.environ["DATABASE_URL"]), "CONN_MAX_AGE": None}}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}

EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = os.environ["EMAIL_HOST"], int(os.environ["EMAIL_PORT"]), 10
DEFAULT_FROM_EMAIL = "Accounts <noreply@localhost>"
EMAIL_BACKEND = {
    "celery_email": "djcelery_email.backends.CeleryEmailBackend",
    "mailer": "mailer.backend.DbBackend",
}.get(_APP, _SMTP)

CELERY_BROKER_URL = os.environ["REDIS_URL"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_EMAIL_BACKEND = _SMTP
CELERY_EMAIL_TASK_CONFIG = {"queue": "celery", "ignore_result": True}
MAILER_EMAIL_BACKEND = _SMTP
MAILER_EMAIL_MAX_BATCH = None
MAILER_USE_FILE_LOCK = False
POST_OFFICE = {
    "BATCH_SIZE": 1000,
    "THREADS_PER_PROCESS": 5,
    "DEFAULT_PRIORITY": "medium",
    "BACKENDS": {"default": _SMTP},
}

BRAND = {
    "name": "Accounts",
    "url": "https://example.com",
    "support": "support@example.com",
    "colour": "#1d4ed8",
    "on_colour": "#ffffff",
    "logo": "",
    "address": "",
}
