"""Argon2 with a cost that fits the number of web threads."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class WebArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with 19 MiB and two passes, OWASP's recommended minimum (Password Storage Cheat Sheet).

    Django's own takes 100 MiB a hash: with eight web threads that is 800 MiB under a burst of logins; this is 152.
    """

    time_cost = 2
    memory_cost = 19456  # KiB
    parallelism = 1
