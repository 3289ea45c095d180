"""The kinds of mail this app asks for, one function each; the only door to the outbox."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.formats import date_format

from auth_api import codes
from auth_api.models import PasswordReset, User
from outbox import intents, kinds
from outbox.kinds import Bound, Kind, Lacking, Over, Priority, RetryPolicy, Unbound

CODE_LIFETIME = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_NO_ACCOUNT = kinds.NOBODY


def welcome(user: User) -> UUID:
    """Greet the holder of a new account; the id to ask the outbox about."""
    return intents.enqueue(
        WELCOME, to=user.email, context={"name": user.name}, language=user.language, owner=str(user.pk)
    ).task_id


def account_exists(address: str, language: str) -> UUID:
    """Tell the holder of an account that somebody tried to register with its address."""
    return intents.enqueue(ACCOUNT_EXISTS, to=address, context={}, language=language).task_id


def reset_code(request: PasswordReset, language: str) -> UUID:
    """Send the code of this request, if its address turns out to have an account."""
    return intents.enqueue(RESET_CODE, to=request.address, context={"request": request.pk}, language=language).task_id


def cancel_reset_codes(address: str) -> int:
    """Cancel the codes that are still on their way to this address; how many."""
    return intents.cancel_superseded(RESET_CODE, address)


def password_changed(user: User, client: str) -> UUID:
    """Tell the holder that the password was changed, when, and from which address ("" if not known)."""
    facts = {"name": user.name, "changed_at": _in_words(timezone.now(), user.language), "client": client}
    return intents.enqueue(
        PASSWORD_CHANGED, to=user.email, context=facts, language=user.language, owner=str(user.pk)
    ).task_id


def _in_words(moment: datetime, language: str) -> str:
    """The moment on the clocks of settings.TIME_ZONE, with that zone's name."""
    with translation.override(language):
        local = timezone.localtime(moment, timezone.get_default_timezone())
        comma = "،" if language == "ar" else ","
        return f"{date_format(local, f'j F Y{comma} H:i')} ({settings.TIME_ZONE})"


def _bind_accounts(mails: Sequence[Unbound]) -> list[Bound | Over | Lacking]:
    """The name and language of each recipient's account, in one query."""
    accounts = _accounts(mail.recipient for mail in mails)
    return [
        Bound(context={"name": account.name}, language=account.language)
        if (account := accounts.get(mail.recipient))
        else _NO_ACCOUNT
        for mail in mails
    ]


def _bind_codes(mails: Sequence[Unbound]) -> list[Bound | Over | Lacking]:
    """The code of each live request and its account's name and language, in two queries."""
    left = ExpressionWrapper(F("expires_at") - Now(), output_field=DurationField())
    asked = [mail.context["request"] for mail in mails]
    requests = PasswordReset.objects.annotate(left=left).in_bulk(asked)
    accounts = _accounts(mail.recipient for mail in mails)
    return [_bind_code(mail, requests.get(mail.context["request"]), accounts.get(mail.recipient)) for mail in mails]


def _bind_code(mail: Unbound, request: PasswordReset | None, account: User | None) -> Bound | Over | Lacking:
    if request is None or request.address != mail.recipient:
        return Over("its reset request is gone")
    if request.closed_at:
        return Over(f"its reset request is closed: {request.closed_reason}")
    left: timedelta = request.left  # type: ignore[attr-defined]  # annotated by _bind_codes
    if left <= timedelta():
        return Over("its reset request has expired")
    return _NO_ACCOUNT if account is None else _bind_live_code(request, account, left)


def _bind_live_code(request: PasswordReset, account: User, left: timedelta) -> Bound | Lacking:
    code = codes.derive(request.pk, bytes(request.nonce), request.key_fingerprint)
    if code is None:
        return Lacking("the key of this reset code")
    context = {"name": account.name, "code": code, "minutes": max(1, round(left / _MINUTE))}
    return Bound(context=context, language=account.language)


def _accounts(addresses: Iterable[str]) -> dict[str, User]:
    return {user.email: user for user in User.objects.filter(email__in=set(addresses), is_active=True)}


WELCOME = kinds.register(
    Kind(name="welcome", variables=frozenset({"name"}), sample={"name": "Layla Haddad"}),
)
ACCOUNT_EXISTS = kinds.register(
    Kind(
        name="account_exists",
        variables=frozenset(),
        late=frozenset({"name"}),
        bind=_bind_accounts,
        sample={"name": "Layla Haddad"},
    )
)
RESET_CODE = kinds.register(
    Kind(
        name="reset_code",
        variables=frozenset({"request"}),
        late=frozenset({"name", "code", "minutes"}),
        bind=_bind_codes,
        priority=Priority.HIGH,
        lifetime=CODE_LIFETIME,
        retries=RetryPolicy(max_retries=5, base=timedelta(seconds=15), factor=4),
        sample={"request": 1, "name": "Layla Haddad", "code": "042137", "minutes": 60},
    )
)
PASSWORD_CHANGED = kinds.register(
    Kind(
        name="password_changed",
        variables=frozenset({"name", "changed_at", "client"}),
        sample={
            "name": "Layla Haddad",
            "changed_at": "24 November 2026, 13:05 (Asia/Dubai)",
            "client": "192.0.2.7",
        },
    )
)
