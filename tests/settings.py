"""The project's settings, made quick for tests. Servers come from the environment: run them with ops/test."""

import os

os.environ.setdefault("SECRET_KEY", "tests-only-key-tests-only-key-tests-only-key-tests-only")
os.environ.setdefault("ALLOWED_HOSTS", "localhost,127.0.0.1,testserver")
os.environ.setdefault("SECURE_SSL_REDIRECT", "0")
os.environ.setdefault("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/outbox")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:6379/0")

from core.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # cheap; hashing has tests of its own
