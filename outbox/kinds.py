"""Declares a kind of mail: its template, variables, priority, lifetime and policy; and the registry of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from outbox.errors import BadContext, UnknownKind
from outbox.policy import RetryPolicy


class Priority(IntEnum):
    """Whoever claims takes the lowest number first."""

    HIGH = 0
    NORMAL = 1
    BULK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbound:
    """What a binder is told of an intent whose attempt has just begun."""

    recipient: str
    language: str
    context: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The variables read late, and the language when it is known only now."""

    context: Mapping[str, object]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """What the mail is about is over: the intent is cancelled with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """This process lacks something (a key, say) that another may have: the intent is given back."""

    reason: str


# One call per kind and round, so that a binder reads with one query; the answers are in the order of the question.
Binder = Callable[[Sequence[Unbound]], Sequence[Bound | Over | Lacking]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One sort of mail. `name` is also its template folder; `variables` are what its context must hold.

    `late` are variables that no table may hold: `bind` reads them when the attempt begins. `defaults` fill
    variables added in this release, for intents written by the last one. `retries` None means the global
    policy. `sample` is a whole context, late variables included, for previews.
    """

    name: str
    variables: frozenset[str]
    sample: Mapping[str, object]
    late: frozenset[str] = frozenset()
    bind: Binder | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    lifetime: timedelta | None = None
    retries: RetryPolicy | None = None
    repeatable: bool = True

    def __post_init__(self) -> None:
        """Refuse a declaration that contradicts itself.

        Raises:
            ValueError: with the name of the kind and what is wrong.
        """
        if self.late and self.bind is None:
            raise ValueError(f"kind {self.name!r} has late variables but no bind")
        if both := self.late & self.variables:
            raise ValueError(f"kind {self.name!r} says of {sorted(both)} that they are late and that they are not")
        if strange := self.defaults.keys() - self.variables:
            raise ValueError(f"kind {self.name!r} has defaults for what it does not declare: {sorted(strange)}")
        if set(self.sample) != self.variables | self.late:
            raise ValueError(f"kind {self.name!r}: sample must hold exactly its variables")

    def complete(self, context: Mapping[str, object]) -> dict[str, object]:
        """The context with defaults filled in.

        Raises:
            BadContext: a variable is missing, or there is one the kind does not declare.
        """
        filled = {**self.defaults, **context}
        missing, strange = self.variables - filled.keys(), filled.keys() - self.variables
        if missing or strange:
            raise BadContext(f"kind {self.name!r}: missing {sorted(missing)}, not declared {sorted(strange)}")
        return filled


__all__ = [
    "NOBODY",
    "RAW",
    "Bound",
    "Kind",
    "Lacking",
    "Over",
    "Priority",
    "RetryPolicy",
    "Unbound",
    "get",
    "names",
    "register",
]

# What a binder says when the address turns out to be nobody's; such an intent is pruned after a day.
NOBODY = Over("no active account has this address")

# What other apps hand over finished: its rows carry the message itself, so there is nothing to render.
RAW = Kind(name="message", variables=frozenset(), sample={})

_registry: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Make the kind known in this process; call it where the kind is declared, at import.

    Raises:
        ValueError: another kind has this name.
    """
    if kind.name == RAW.name or _registry.get(kind.name, kind) != kind:
        raise ValueError(f"kind {kind.name!r} is declared twice")
    _registry[kind.name] = kind
    return kind


def get(name: str) -> Kind:
    """The kind of this name; RAW is known everywhere.

    Raises:
        UnknownKind: this process does not know it.
    """
    if name == RAW.name:
        return RAW
    try:
        return _registry[name]
    except KeyError:
        raise UnknownKind(f"kind {name!r} is not one of {sorted(_registry)}") from None


def names() -> list[str]:
    """The names of all kinds that are rendered here, sorted."""
    return sorted(_registry)
