"""All Django settings. Environments differ by variables, never by a second file."""

import sys
from datetime import timedelta
from pathlib import Path

from celery.schedules import crontab

from core import env, look, telemetry
from core.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Who we are, and how much we trust the network ----------------------------------------------------------
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.secret("SECRET_KEY", "development-only-key-never-for-production" if DEBUG else None)
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1" if DEBUG else "")
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, most=9)
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes and scrapers inside speak plain HTTP
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31536000 if SECURE_SSL_REDIRECT else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_SSL_REDIRECT
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Answers of the API are no pages: nothing may be loaded, framed or submitted by them.
_NOTHING = {directive: ["'none'"] for directive in ("default-src", "base-uri", "form-action", "frame-ancestors")}
_OWN = {
    **_NOTHING,
    **{f"{what}-src": ["'self'"] for what in ("connect", "font", "script")},
    "img-src": ["'self'", "data:"],
    "style-src": ["'self'", "'unsafe-inline'"],  # both pages write styles into elements
}
CONTENT_SECURITY_POLICY = {"DIRECTIVES": _NOTHING}
CONTENT_SECURITY_POLICY_BELOW = {
    "/api/docs/": _OWN,
    "/admin/": {
        **_OWN,
        "script-src": ["'self'", "'unsafe-eval'"],  # Alpine, which Unfold uses, compiles its attributes
        "form-action": ["'self'"],
        "frame-src": ["'self'"],  # the mails
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

# --- What runs ----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin: it replaces the admin's templates
    "knox",
    "auth_api",  # after knox, whose admin page it takes away; before auth, whose changepassword it replaces
    "auth_api.apps.AccountsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "outbox",
]
MIDDLEWARE = [
    "core.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.csp.PolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "core.urls"
WSGI_APPLICATION = "core.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # serves the apps' own files, so that no collectstatic step can be forgotten
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- The admin ----------------------------------------------------------------------------------------------
UNFOLD = look.UNFOLD

# --- PostgreSQL ---------------------------------------------------------------------------------------------
_DATABASE = env.database("DATABASE_URL")
DATABASES = {
    "default": {
        **_DATABASE,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode
        # A server that is gone without a word must be noticed in seconds, not after TCP's two hours.
        "OPTIONS": {
            **_DATABASE.get("OPTIONS", {}),
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 20000,
        },
    }
}

# --- People -------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "auth_api.User"
PASSWORD_HASHERS = ["auth_api.hashers.WebArgon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["name", "email"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["auth_api.tokens.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],  # unless a view says more
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["auth_api.parsers.StrictJSONParser"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would answer in a shape of its own
    "EXCEPTION_HANDLER": "auth_api.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "URL_FORMAT_OVERRIDE": None,
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=1)}
SPECTACULAR_SETTINGS = {
    "TITLE": "Accounts and their mails",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "auth_api.schema.describe_errors",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Languages and times ------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ar", "العربية")]
LOCALE_PATHS = [BASE_DIR / "templates" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.zone("TIME_ZONE", "Asia/Dubai")

# --- The provider of mail -----------------------------------------------------------------------------------
EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.port("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=False)
EMAIL_USE_SSL = env.flag("EMAIL_USE_SSL", default=False)
env.refuse_both("EMAIL_USE_TLS", "EMAIL_USE_SSL")
EMAIL_TIMEOUT = env.duration("EMAIL_TIMEOUT", "10s", above_zero=True).total_seconds()
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Accounts <noreply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_BRAND = {
    "name": env.text("BRAND_NAME", "Accounts"),
    "url": env.text("BRAND_URL", "https://example.com"),
    "support": env.text("BRAND_SUPPORT", "support@example.com"),
    "address": env.text("BRAND_ADDRESS", ""),
    "colour": env.text("BRAND_COLOUR", "#1d4ed8"),
    "logo": env.text("BRAND_LOGO", ""),
}
EMAIL_REPLY_TO = env.text("EMAIL_REPLY_TO", "") or EMAIL_BRAND["support"]
EMAIL_SANDBOX_TO = env.text("EMAIL_SANDBOX_TO", "")
EMAIL_SANDBOX_ALLOW = env.words("EMAIL_SANDBOX_ALLOW")

# --- The outbox (each is described in the README's table) ---------------------------------------------------
_SLICE = env.duration("OUTBOX_SLICE", "1s")
_DEADLINE = env.duration("OUTBOX_DEADLINE", "120s")
OUTBOX = {
    "LEASE": env.duration("OUTBOX_LEASE", "10s"),
    "RETRIES": env.integer("OUTBOX_RETRIES", 3, most=1000),
    "BACKOFF": env.duration("OUTBOX_BACKOFF", "60s"),
    "BACKOFF_FACTOR": env.number("OUTBOX_BACKOFF_FACTOR", 10, least=1),
    "BACKOFF_MAX": env.duration("OUTBOX_BACKOFF_MAX", "6h"),
    "LIFETIME": env.duration("OUTBOX_LIFETIME", "3d"),
    "TICK": env.duration("OUTBOX_TICK", "1s"),
    "SLICE": _SLICE,
    "LANES": env.integer("OUTBOX_LANES", 8, least=1, most=64),
    "READY": env.integer("OUTBOX_READY", 64, least=1, most=10000),
    "RATE": env.number("OUTBOX_RATE", 0, least=0),
    "ANSWER_TIMEOUT": env.duration("OUTBOX_ANSWER_TIMEOUT", "60s"),
    "DEADLINE": _DEADLINE,
    "STANDBY_AFTER": env.duration("OUTBOX_STANDBY_AFTER", "3s"),
    "RETENTION": env.duration("OUTBOX_RETENTION", "30d"),
    "DEAD_RETENTION": env.duration("OUTBOX_DEAD_RETENTION", "90d"),
    "MESSAGE_ID_DOMAIN": env.text("OUTBOX_MESSAGE_ID_DOMAIN", ""),
}
env.refuse_unknown("OUTBOX_", OUTBOX)

# --- Seen from outside --------------------------------------------------------------------------------------
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
METRICS_ALLOW = env.networks("METRICS_ALLOW")
CANARY_TO = env.text("CANARY_TO", "")
CANARY_EVERY = env.duration("CANARY_EVERY", "5m", above_zero=True)
SENTRY_DSN = env.text("SENTRY_DSN", "")
telemetry.start_sentry(SENTRY_DSN)
OTEL_EXPORTER_OTLP_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT", "")
telemetry.start_tracing(OTEL_EXPORTER_OTLP_ENDPOINT)

# --- Celery and RedBeat -------------------------------------------------------------------------------------
REDIS_URL = env.redis("REDIS_URL")
# Redis that accepts and never answers must cost seconds, and a connection it cut must be noticed.
_REDIS_SOCKET = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
}
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {**_REDIS_SOCKET, "visibility_timeout": 3600}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # the default gives up after 100 tries
CELERY_TASK_PUBLISH_RETRY = False  # what could not be handed over is given back at once
CELERY_TASK_IGNORE_RESULT = True
CELERY_DB_REUSE_MAX = sys.maxsize  # never closed by Celery after a task: connecting costs more than a mail
CELERY_TASK_DEFAULT_QUEUE = "outbox"
CELERY_TASK_ROUTES = {"outbox.send": {"queue": "email"}, "outbox.probe": {"queue": "email"}}
CELERY_TASK_TIME_LIMIT = (_SLICE + 2 * _DEADLINE).total_seconds() + 30
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False  # nothing is redelivered, so nothing may run twice
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "redbeat.RedBeatScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE = {
    "outbox-dispatch": {
        "task": "outbox.dispatch",
        "schedule": OUTBOX["TICK"],
        "options": {"expires": 30, "queue": "outbox"},
    },
    "outbox-roll-up": {
        "task": "outbox.roll_up",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30, "queue": "outbox"},
    },
    "outbox-errands": {
        "task": "outbox.resume_errands",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 30, "queue": "outbox"},
    },
    "outbox-prune": {"task": "outbox.prune", "schedule": crontab(hour=3, minute=17), "options": {"queue": "outbox"}},
    "auth-prune": {
        "task": "auth_api.prune",
        "schedule": timedelta(hours=1),
        "options": {"expires": 600, "queue": "outbox"},
    },
}
if CANARY_TO:
    CELERY_BEAT_SCHEDULE["outbox-canary"] = {
        "task": "outbox.canary",
        "schedule": CANARY_EVERY,
        "options": {"expires": 60, "queue": "outbox"},
    }
REDBEAT_REDIS_URL = REDIS_URL
REDBEAT_REDIS_OPTIONS = _REDIS_SOCKET
REDBEAT_LOCK_TIMEOUT = 10  # a killed beat's successor waits this long; ten loops, so no slow loop loses it

# --- Logs ---------------------------------------------------------------------------------------------------
LOGGING = logging_config(readable=DEBUG)
