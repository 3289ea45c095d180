"""Use cases, each one transaction: register, log in, reset and change a password."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models.functions import Now
from knox.models import AuthToken

from auth_api import codes, mails, throttles
from auth_api.models import ClosedReason, PasswordReset, User


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """What somebody who registers tells; the address is normalised."""

    email: str
    name: str
    language: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    """A code and the password it is to set; `client` is where from, for the mail about it."""

    address: str
    code: str
    password: str
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a login gives: the token (shown once; only its hash is stored) and when it ends."""

    user: User
    token: str
    expiry: datetime | None


def register(person: NewPerson) -> UUID:
    """Create the account and greet it; or, if there is one, tell its holder. The id of the mail either way.

    Both ways hash once and run the same statements, so that nobody learns which addresses have an account.
    Over the limit of mails to the address nothing is written and the id belongs to nothing.
    """
    user = User(email=person.email, name=person.name, language=person.language)
    user.password = make_password(person.password)
    with transaction.atomic():
        if _is_created(user):
            throttles.spend_nothing(user.email)
            return mails.welcome(user)
        allowed = throttles.spend_mail(user.email)
        return mails.account_exists(user.email, user.language) if allowed else uuid4()


def _is_created(user: User) -> bool:
    """Insert unless the address is taken; a failing insert would write the address to the server's log."""
    User.objects.bulk_create([user], ignore_conflicts=True)
    return User.objects.filter(pk=user.pk).exists()


def log_in(address: str, password: str) -> Session | None:
    """A new session; None for every failure alike, after one hash."""
    user = User.objects.filter(email=address).first() or User()  # an empty hash costs a hash too, and never fits
    renewed: dict[str, str] = {}
    right = check_password(password, user.password, lambda raw: renewed.update(password=make_password(raw)))
    return _open_session(user, renewed) if right and user.is_active else None


@transaction.atomic
def _open_session(user: User, renewed: dict[str, str]) -> Session | None:
    """None when the password was changed, or the account closed, while the hash was being checked.

    `renewed` is the password under today's hasher, when its hash was an older one.
    """
    still = User.objects.filter(pk=user.pk, password=user.password, is_active=True)
    if not still.update(last_login=Now(), **renewed):
        return None
    stored, token = AuthToken.objects.create(user=user)
    return Session(user=user, token=token, expiry=stored.expiry)


@transaction.atomic
def request_password_reset(address: str, language: str) -> UUID:
    """Make a reset request and ask for its mail, whether or not the address has an account: nobody looks.

    A newer request ends the older one and its unsent mail. Over the limit of mails to the address nothing is
    written, the older code stays, and the id belongs to nothing.
    """
    if not throttles.spend_mail(address):  # from here on the requests for one address take turns
        return uuid4()
    PasswordReset.objects.unclosed(address).close(ClosedReason.SUPERSEDED)
    mails.cancel_reset_codes(address)
    request = PasswordReset.objects.create(
        address=address,
        nonce=codes.fresh_nonce(),
        key_fingerprint=codes.current_fingerprint(),
        expires_at=Now() + mails.CODE_LIFETIME,
    )
    return mails.reset_code(request, language)


@transaction.atomic
def verify_code(address: str, code: str) -> bool:
    """Whether the code is right; it stays usable. A wrong one counts: the fifth ends the request."""
    request = _locked_request(address)
    return request is not None and _matches(request, code)


@transaction.atomic
def reset_password(new: NewPassword) -> bool:
    """Use the code up, set the password, end all sessions and tell the holder; False for every refusal alike.

    Raises:
        ValidationError: the password is too weak for this account; the code stays usable.
    """
    request = _locked_request(new.address)
    if request is None or not _matches(request, new.code):
        return False
    user = User.objects.select_for_update(no_key=True).filter(email=new.address, is_active=True).first()
    if user is None:  # then no mail was sent, so the code was a guess
        return _counted_as_wrong(request)
    validate_password(new.password, user)
    PasswordReset.objects.filter(pk=request.pk).close(ClosedReason.USED)
    _replace_password(user, make_password(new.password), new.client)
    return True


def change_password(user: User, current: str, password: str, *, client: str, keep: AuthToken) -> UUID | None:
    """Set a new password and end all sessions but `keep`; the id of the mail about it.

    None when `current` is not the password.
    """
    if not check_password(current, user.password):
        return None
    with transaction.atomic():
        _close_requests(user)
        locked = User.objects.select_for_update(no_key=True).filter(pk=user.pk, password=user.password).first()
        return _replace_password(locked, make_password(password), client, keep=keep) if locked else None


@transaction.atomic
def set_password(user: User, password: str | None) -> UUID:
    """Set a password, or none, for somebody; ends all sessions. The id of the mail about it."""
    _close_requests(user)
    return _replace_password(user, make_password(password), client="")


@transaction.atomic
def password_was_set(user: User) -> UUID:
    """End all sessions and codes, and tell the holder, when something else has stored the password."""
    _close_requests(user)
    log_out_everywhere(user)
    return mails.password_changed(user, client="")


def update_profile(user: User, changes: Mapping[str, str]) -> None:
    """Store these fields of the account."""
    for field, value in changes.items():
        setattr(user, field, value)
    user.save(update_fields=list(changes))


def log_out(token: AuthToken) -> None:
    """End this session."""
    token.delete()


def log_out_everywhere(user: User) -> None:
    """End all sessions."""
    AuthToken.objects.filter(user=user).delete()


def _replace_password(user: User, encoded: str, client: str, keep: AuthToken | None = None) -> UUID:
    """The password first: a login that checked the old one sees it gone, or has its token deleted here."""
    user.password = encoded
    user.save(update_fields=["password"])
    AuthToken.objects.filter(user=user).exclude(pk=keep and keep.pk).delete()
    return mails.password_changed(user, client)


def _close_requests(user: User) -> None:
    """Requests are locked before accounts, everywhere, so that no two of these wait for each other."""
    PasswordReset.objects.unclosed(user.email).close(ClosedReason.CHANGED)


def _locked_request(address: str) -> PasswordReset | None:
    """The live request; locked, so that tries which arrive together are counted one after the other."""
    return PasswordReset.objects.live(address).select_for_update().first()


def _matches(request: PasswordReset, code: str) -> bool:
    """Whether this is the request's code; a wrong one is counted."""
    expected = codes.derive(request.pk, bytes(request.nonce), request.key_fingerprint)
    if expected is None:  # only another process, with the other key, can tell
        return False
    return codes.are_equal(expected, code) or _counted_as_wrong(request)


def _counted_as_wrong(request: PasswordReset) -> Literal[False]:
    """Count a wrong try of a locked request; the last one ends it."""
    request.wrong_tries += 1
    if request.wrong_tries == PasswordReset.MAX_WRONG_TRIES:
        request.closed_at, request.closed_reason = Now(), ClosedReason.TRIES
    request.save(update_fields=["wrong_tries", "closed_at", "closed_reason"])
    return False
