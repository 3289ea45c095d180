"""The exceptions a caller may catch.

OutboxError
├── NotInTransaction
├── UnknownKind
├── BadContext
├── BadAddress
└── NotAllowed
"""


class OutboxError(Exception):
    """Base of everything this app raises for a caller's mistake."""


class NotInTransaction(OutboxError):
    """An intent joins the transaction of the change it tells about; there is none open."""


class UnknownKind(OutboxError):
    """No kind of mail with this name is declared."""


class BadContext(OutboxError):
    """The context lacks a variable, has one too many, or holds what a mail cannot carry."""


class BadAddress(OutboxError):
    """The address is not one that mail can be sent to."""


class NotAllowed(OutboxError):
    """The intent is in a state that does not permit this."""
