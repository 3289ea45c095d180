"""Tables User, PasswordReset and Allowance: columns, constraints, indexes, named filters; no rules."""

from typing import ClassVar, Self
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from auth_api import addresses


class Language(models.TextChoices):
    """The languages that answers and mails are written in."""

    EN = "en", "English"
    AR = "ar", "العربية"


class UserManager(BaseUserManager["User"]):
    """Creates users; their address is normalised here, so that each way in stores the same form."""

    def create_user(self, email: str, name: str, password: str | None = None, **fields: object) -> "User":
        """Store a new user.

        Raises:
            AddressRefused: the address cannot be used.
        """
        user = self.model(email=addresses.normalise(email), name=name, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, name: str, password: str | None = None, **fields: object) -> "User":
        """Store a new user who may do everything."""
        return self.create_user(email, name, password, **{**fields, "is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user with this address, however it is typed.

        Raises:
            User.DoesNotExist: nobody has it.
        """
        try:
            return self.get(email=addresses.normalise(username or ""))
        except addresses.AddressRefused:
            raise self.model.DoesNotExist from None


class User(AbstractBaseUser, PermissionsMixin):
    """A person with an account; the e-mail address is the name they log in with."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.CharField("e-mail address", max_length=addresses.MAX_LENGTH)
    name = models.CharField(max_length=150)
    language = models.CharField(max_length=2, choices=Language, default=Language.EN)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        """Both constraints together make an address unique without regard to case, with one index."""

        constraints: ClassVar = [
            models.UniqueConstraint(name="user_email_is_unique", fields=["email"]),
            models.CheckConstraint(name="user_email_is_lower_case", condition=Q(email=Lower("email"))),
            models.CheckConstraint(name="user_language_is_known", condition=Q(language__in=Language.values)),
        ]

    def __str__(self) -> str:
        return self.email

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """The stored form of an address; Django's own would fold look-alikes into ASCII."""
        return addresses.normalise(username)


class ClosedReason(models.TextChoices):
    """Why a reset request is no longer live."""

    USED = "used", "its code was used"
    SUPERSEDED = "superseded", "a newer one was made"
    TRIES = "tries", "too many wrong codes"
    CHANGED = "changed", "the password was changed"


class PasswordResetQuerySet(models.QuerySet["PasswordReset"]):
    """Named filters."""

    def unclosed(self, address: str) -> Self:
        """The one request of this address that nothing has ended but perhaps its hour."""
        return self.filter(address=address, closed_at=None)

    def live(self, address: str) -> Self:
        """The one request whose code this address may use now."""
        return self.unclosed(address).filter(expires_at__gt=Now())

    def close(self, reason: ClosedReason) -> int:
        """End these requests; how many."""
        return self.update(closed_at=Now(), closed_reason=reason)


class PasswordReset(models.Model):
    """A request to set a new password. It belongs to an address, whether or not that has an account."""

    MAX_WRONG_TRIES = 5

    address = models.CharField(max_length=addresses.MAX_LENGTH)
    nonce = models.BinaryField()
    key_fingerprint = models.CharField(max_length=16)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    wrong_tries = models.PositiveSmallIntegerField(default=0)
    closed_at = models.DateTimeField(null=True)
    closed_reason = models.CharField(max_length=10, choices=ClosedReason, default="", blank=True)

    objects = PasswordResetQuerySet.as_manager()

    class Meta:
        """The database refuses two live requests of one address, and a sixth try."""

        constraints: ClassVar = [
            # Serves live() and unclosed() too.
            models.UniqueConstraint(
                name="reset_one_unclosed_per_address", fields=["address"], condition=Q(closed_at=None)
            ),
            models.CheckConstraint(
                name="reset_closed_with_a_reason",
                condition=Q(closed_at=None, closed_reason="")
                | Q(closed_at__isnull=False, closed_reason__in=ClosedReason.values),
            ),
            models.CheckConstraint(
                name="reset_at_most_five_tries",
                condition=Q(closed_at=None, wrong_tries__lt=5) | Q(closed_at__isnull=False, wrong_tries__lte=5),
            ),
            models.CheckConstraint(name="reset_expires_after_creation", condition=Q(expires_at__gt=F("created_at"))),
        ]
        indexes: ClassVar = [models.Index(name="reset_to_prune", fields=["expires_at"])]

    def __str__(self) -> str:
        return f"reset request {self.pk}"


class Allowance(models.Model):
    """The moments at which something limited was done, of one subject; see throttles.py."""

    key = models.TextField(primary_key=True)
    hits = ArrayField(models.DateTimeField())

    def __str__(self) -> str:
        return self.key
