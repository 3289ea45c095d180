"""The public door: enqueue, cancel, replay and resend, inside the caller's transaction."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction

from outbox import conf, events, kinds, messages, transitions
from outbox.addresses import normalised
from outbox.errors import BadContext, NotAllowed, NotInTransaction
from outbox.kinds import Bound, Kind, Lacking, Over, Unbound
from outbox.models import Intent
from outbox.sealing import seal
from outbox.states import CLOSED, OPEN, State

_LARGEST_MESSAGE = 10 * 1024 * 1024  # octets; providers refuse more after taking it all
_LARGEST_CONTEXT = 64 * 1024  # letters of JSON; a mail that needs more should carry a link
_COLUMNS = frozenset(field.attname for field in Intent._meta.concrete_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One mail to be enqueued with others; the fields are the arguments of `enqueue`."""

    to: str
    context: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    owner: str = ""
    not_before: datetime | None = None
    dedupe_key: str | None = None


def enqueue(  # noqa: PLR0913  (the contract; all but two are optional)
    kind: Kind | str,
    *,
    to: str,
    context: Mapping[str, Any] | None = None,
    language: str = "en",
    owner: object = None,
    not_before: datetime | None = None,
    dedupe_key: str | None = None,
) -> Intent:
    """Write one intent in the caller's transaction: it exists exactly if that commits.

    A `dedupe_key` that an open intent has already returns that intent. `owner` is whose mail it is: a user, or a
    user's key as text; without one it is whoever's address it is.

    Raises:
        NotInTransaction: no transaction is open.
        UnknownKind, BadContext, BadAddress: the caller's mistake, told here and not in a worker.
    """
    request = Request(
        to=to,
        context=context or {},
        language=language,
        owner=_owner(owner),
        not_before=not_before,
        dedupe_key=dedupe_key,
    )
    return enqueue_many(kind, [request])[0]


def enqueue_many(kind: Kind | str, requests: Iterable[Request]) -> list[Intent]:
    """Write many intents of one kind in one statement; the intents, in the order of the requests.

    Raises:
        As `enqueue`; one bad request refuses all.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("enqueue joins the transaction of the change it tells about: use transaction.atomic()")
    declared = kinds.get(kind if isinstance(kind, str) else kind.name)
    rows = [_row(declared, request) for request in requests]
    if not rows:
        return []
    return _written(rows)


def enqueue_sample(kind: Kind | str, *, to: str, language: str = "en") -> Intent:
    """Enqueue a mail of this kind with its sample context, to see it go the whole way.

    Raises:
        As `enqueue`.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("enqueue_sample joins a transaction: use transaction.atomic()")
    declared = kinds.get(kind if isinstance(kind, str) else kind.name)
    shown = {name: declared.sample[name] for name in declared.variables}
    row = _row(declared, Request(to=to, context=shown, language=language))
    return _written([{**row, "is_sample": True}])[0]


def _written(rows: Sequence[Mapping[str, Any]]) -> list[Intent]:
    written = transitions.enqueue(rows)
    for row in rows:
        if row["task_id"] in written:
            events.announce(events.enqueued, task_id=row["task_id"], kind=row["kind"], recipient=row["recipient"])
    found = (written.get(row["task_id"]) for row in rows)
    return [_intent({**row, **own}) if own else _existing(row) for row, own in zip(rows, found, strict=True)]


def _intent(row: Mapping[str, Any]) -> Intent:
    """What was just written, without reading it back."""
    intent = Intent(**{name: value for name, value in row.items() if name in _COLUMNS})
    intent._state.adding, intent._state.db = False, connection.alias
    return intent


def _existing(row: Mapping[str, Any]) -> Intent:
    """The open intent that has the key; when it was closed since, the key is free and the row is written now."""
    found = Intent.objects.filter(dedupe_key=row["dedupe_key"], state__in=OPEN).first()
    return found if found is not None else _written([row])[0]


def _row(kind: Kind, request: Request) -> dict[str, Any]:
    task_id = uuid4()
    return {
        "task_id": task_id,
        "kind": kind.name,
        "recipient": normalised(request.to),
        "language": _checked_text("language", request.language, 16),
        "context": _checked_context(kind, request.context),
        "owner": _checked_text("owner", request.owner, 64),
        "dedupe_key": _checked_text("dedupe_key", request.dedupe_key or "", 200) or None,
        "not_before": _checked_time(request.not_before),
        "is_sample": False,
        "payload": None,
        "reason": "",
        "resent_from_id": None,
        "actor": "",
        **_fixed(kind, task_id),
    }


def _fixed(kind: Kind, task_id: UUID) -> dict[str, Any]:
    """What the kind decides; copied to the row, so that a later release does not change a mail under way."""
    return {
        "message_id": f"<{task_id.hex}@{_message_id_domain()}>",
        "priority": int(kind.priority),
        "repeatable": kind.repeatable,
        "lifetime": kind.lifetime or conf.outbox().lifetime,
    }


def _message_id_domain() -> str:
    sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    return conf.outbox().message_id_domain or sender.rpartition("@")[2] or "localhost"


def _owner(owner: object) -> str:
    key = getattr(owner, "pk", owner)
    return "" if key is None else str(key)


def _checked_time(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise BadContext("not_before needs a time zone")
    return moment


def _checked_text(name: str, value: str, longest: int) -> str:
    if len(value) > longest or not _is_storable(value) or "\n" in value or "\r" in value:
        raise BadContext(f"{name} must be one line of at most {longest} letters")
    return value


def _checked_context(kind: Kind, context: Mapping[str, Any]) -> dict[str, Any]:
    complete = kind.complete(context)
    try:
        as_json = json.dumps(complete, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadContext(f"kind {kind.name!r}: the context must be JSON: {error}") from error
    has_nul = "\\u0000" in as_json.replace("\\\\", "")  # a backslash that stands for itself is written twice
    if len(as_json) > _LARGEST_CONTEXT or has_nul or not _is_storable(as_json):
        raise BadContext(
            f"kind {kind.name!r}: the context must be under {_LARGEST_CONTEXT} letters, without NUL and half characters"
        )
    return complete


def _is_storable(text: str) -> bool:
    """PostgreSQL takes neither NUL nor a lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def enqueue_message(message: EmailMessage) -> list[Intent]:
    """Write one intent per recipient of a message that another app made; it is sealed, and sent as it is.

    Raises:
        NotInTransaction, BadAddress: as `enqueue`.
        BadContext: the message is larger than 10 MiB.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("enqueue_message joins a transaction: use transaction.atomic()")
    message_id, data = messages.freeze(message)
    if len(data) > _LARGEST_MESSAGE:
        raise BadContext(f"a message may have {_LARGEST_MESSAGE} octets; this one has {len(data)}")
    sealed = seal(data)
    rows = [_row(kinds.RAW, Request(to=parseaddr(to)[1])) for to in message.recipients()]
    return _written([{**row, "payload": sealed, "message_id": message_id or row["message_id"]} for row in rows])


def cancel(intent: Intent, *, reason: str, actor: str = "") -> None:
    """Cancel a mail that is not under way.

    Raises:
        NotAllowed: it is being sent, or closed.
    """
    if not transitions.cancel([intent.pk], reason=reason, actor=actor):
        raise NotAllowed("only a mail that is pending or claimed can be cancelled")


def cancel_superseded(kind: Kind, to: str) -> int:
    """Cancel the unsent mails of this kind to this address, since a newer one follows; how many."""
    unsent = Intent.objects.filter(recipient=normalised(to), kind=kind.name, state__in=(State.PENDING, State.CLAIMED))
    ids = list(unsent.values_list("pk", flat=True))
    return transitions.cancel(ids, reason="a newer one followed") if ids else 0


def resend(intent: Intent, *, actor: str, reason: str = "") -> Intent:
    """Enqueue a linked copy of a closed mail, with its own Message-ID and a lifetime from now.

    Raises:
        NotAllowed: the mail is still under way.
        NotInTransaction, UnknownKind, BadContext: as `enqueue`.
    """
    if intent.state not in CLOSED:
        raise NotAllowed("only a closed mail can be resent; this one is still under way")
    if not connection.in_atomic_block:
        raise NotInTransaction("resend joins a transaction: use transaction.atomic()")
    kind = kinds.get(intent.kind)
    request = Request(to=intent.recipient, context=intent.context, language=intent.language, owner=intent.owner)
    copy = {
        **_row(kind, request),
        "payload": intent.payload,
        "is_sample": intent.is_sample,
        "resent_from_id": intent.pk,
        "actor": actor[:254],
        "reason": f"resent: {reason}" if reason else "resent",
    }
    return _written([copy])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many went back to pending, and how many were skipped, by reason."""

    replayed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


def replay(ids: Sequence[int], *, actor: str, reason: str = "replayed") -> Replayed:
    """Send dead letters back to pending; what is past its lifetime, over, or has a taken key stays, and is counted."""
    over = _over(ids)
    went = transitions.replay([each for each in ids if each not in over], reason=reason, actor=actor)
    stayed = Intent.objects.filter(pk__in=set(ids) - went).only("state", "dedupe_key")
    skipped = Counter(over.get(intent.pk) or _why_not_replayed(intent) for intent in stayed)
    return Replayed(replayed=len(went), skipped=dict(skipped))


def _over(ids: Sequence[int]) -> dict[int, str]:
    """Of these dead letters those whose subject is over, and why: asked as when a mail is about to be sent."""
    letters = Intent.objects.filter(pk__in=ids, state=State.DEAD, is_sample=False).defer("payload").order_by("kind")
    found: dict[int, str] = {}
    for name, group in groupby(letters, key=lambda letter: letter.kind):
        mails = list(group)
        answers = zip(mails, _answers(name, mails), strict=False)
        found |= {mail.pk: answer.reason for mail, answer in answers if isinstance(answer, Over)}
    return found


def _answers(kind: str, mails: Sequence[Intent]) -> Sequence[Bound | Over | Lacking]:
    """What the kind's binder says; nothing when there is none or it fails, since the sender will find out."""
    try:
        bind = kinds.get(kind).bind
        with transaction.atomic():
            return (
                bind([Unbound(recipient=m.recipient, language=m.language, context=m.context) for m in mails])
                if bind
                else ()
            )
    except Exception:  # noqa: BLE001  (the app's own code; one bad row must not keep the others from being replayed)
        return ()


def _why_not_replayed(intent: Intent) -> str:
    if intent.state != State.DEAD:
        return "not dead"
    if intent.dedupe_key and Intent.objects.filter(dedupe_key=intent.dedupe_key, state__in=OPEN).exists():
        return "its dedupe key is taken"
    return "past its lifetime"
