"""Reads what a kind binds late, right after its attempts began: one call per kind and round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError

from outbox import kinds
from outbox.classify import clean
from outbox.errors import BadContext, UnknownKind
from outbox.kinds import Bound, Kind, Lacking, Over, Unbound
from outbox.outcomes import Broken, GivenBack, Outcome, Phase, Reply, Void
from outbox.sealing import unseal
from outbox.transitions import Begun

LACKING_WAIT = timedelta(seconds=15)  # another worker may have what this one lacks: a rolling deploy takes minutes
_UNKNOWN_ATTEMPTS = 200  # nearly that hour of asking each 15 s: a mail that was late already is not buried at once
_UNKNOWN_AFTER = timedelta(hours=1)  # a kind that nobody knew for so long is known nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a lane renders, or the finished message that it only sends."""

    context: Mapping[str, Any]
    language: str
    message: bytes | None = None


Answer = Ready | Outcome
_NOTHING = Bound(context={})
_ILLEGIBLE = Broken(phase=Phase.CONNECT, reply=Reply(text="its context cannot be read: it is nested too deep"))


def bind(begun: Sequence[Begun]) -> list[tuple[Begun, Answer]]:
    """For each attempt what its lane renders, or the outcome that follows at once."""
    answers: list[tuple[Begun, Answer]] = []
    in_order = sorted(begun, key=lambda one: one.kind)
    for name, group in groupby(in_order, key=lambda one: one.kind):
        mails = list(group)
        legible = [mail for mail in mails if mail.context is not None]
        answers += zip(legible, _bind_kind(name, legible), strict=True)
        answers += [(mail, _ILLEGIBLE) for mail in mails if mail.context is None]
    return answers


def _bind_kind(name: str, mails: Sequence[Begun]) -> Iterable[Answer]:
    if name == kinds.RAW.name:
        return [_unsealed(mail) for mail in mails]
    try:
        kind = kinds.get(name)
    except UnknownKind as error:
        return [_lacking(str(error), mail) for mail in mails]
    real = [mail for mail in mails if not mail.is_sample]
    bound = iter(_ask(kind, real) if kind.bind and real else [_complete(kind, mail, _NOTHING) for mail in real])
    return [Ready(context=kind.sample, language=mail.language) if mail.is_sample else next(bound) for mail in mails]


def _unsealed(mail: Begun) -> Answer:
    message = unseal(bytes(mail.payload or b""))
    if message is None:
        return _lacking("the key of this message", mail)
    return Ready(context={}, language=mail.language, message=message)


def _ask(kind: Kind, mails: Sequence[Begun]) -> list[Answer]:
    """The binder's answers; when it fails for many it is asked one by one, so that one bad row spoils no other."""
    assert kind.bind is not None  # noqa: S101  (told to mypy; the caller looked)
    questions = [Unbound(recipient=m.recipient, language=m.language, context=m.context or {}) for m in mails]
    try:
        found = list(kind.bind(questions))
        return [_complete(kind, mail, answer) for mail, answer in zip(mails, found, strict=True)]
    except (OperationalError, InterfaceError) as error:  # the database is away, which says nothing about any mail
        return [_given_back(clean(str(error)))] * len(mails)
    except Exception as error:  # noqa: BLE001  (the app's own code: its bug is this mail's end, not the worker's)
        if len(mails) == 1:
            return [_lacking(str(error), mails[0]) if isinstance(error, DatabaseError) else _broken(error)]
    return [answer for mail in mails for answer in _ask(kind, [mail])]


def _complete(kind: Kind, mail: Begun, answer: Bound | Over | Lacking) -> Answer:
    match answer:
        case Over(reason):
            return Void(phase=Phase.CONNECT, reply=Reply(text=clean(reason)))
        case Lacking(reason):
            return _lacking(reason, mail)
        case Bound(context=late, language=language):
            return _filled(kind, mail, late, language)
        case _:
            return _broken(TypeError(f"the binder answered {type(answer).__name__}"))


def _filled(kind: Kind, mail: Begun, late: Mapping[str, object], language: str | None) -> Answer:
    try:
        context = {**kind.complete(mail.context or {}), **late}
    except BadContext as error:  # written by another release than this one: a rolling deploy
        return _lacking(str(error), mail)
    return Ready(context=context, language=language or mail.language)


def _lacking(reason: str, mail: Begun) -> Outcome:
    said = Reply(text=clean(reason))
    if mail.age > _UNKNOWN_AFTER and mail.number > _UNKNOWN_ATTEMPTS:
        return Broken(phase=Phase.CONNECT, reply=said)
    return GivenBack(phase=Phase.CONNECT, reply=said, wait=LACKING_WAIT)


def _given_back(reason: str) -> Outcome:
    return GivenBack(phase=Phase.CONNECT, reply=Reply(text=reason))


def _broken(error: Exception) -> Outcome:
    return Broken(phase=Phase.CONNECT, reply=Reply(text=clean(f"{type(error).__name__}: {error}")))
