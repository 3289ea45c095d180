"""System checks of the outbox, with ids and hints."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from outbox import contract, kinds, sandbox
from outbox.addresses import normalised
from outbox.contract import Breach, Rule
from outbox.errors import BadAddress

# By rule: the id, what is wrong, and what to do about it.
_WORDS = {
    Rule.CANNOT_RENDER: (
        "outbox.E001",
        "cannot be rendered with the sample of its kind",
        "Render it by `manage.py test_email_tasks --preview DIR` and mend the template.",
    ),
    Rule.PART_MISSING: (
        "outbox.E002",
        "has a part missing",
        "Every mail is a folder templates/emails/KIND/ with subject.txt, body.txt and body.html.",
    ),
    Rule.NOT_DECLARED: (
        "outbox.E003",
        "uses a variable that its kind does not declare",
        "Add it to `variables` (what enqueue is given) or `late` (what bind reads), or correct its name.",
    ),
    Rule.NOT_TRANSLATED: (
        "outbox.E004",
        "has a text without translation",
        "Add it to templates/locale/LANGUAGE/LC_MESSAGES/django.po and compile: "
        "python -m babel.messages.frontend compile -D django -d templates/locale",
    ),
}


@register
def every_kind_keeps_the_contract(**_: Any) -> Sequence[CheckMessage]:
    """Each kind has its three parts in each language, which use nothing but its variables."""
    return [_problem(name, breach) for name in kinds.names() for breach in contract.breaches(kinds.get(name))]


def _problem(name: str, breach: Breach) -> CheckMessage:
    identity, what, hint = _WORDS[breach.rule]
    return Error(f"The mail {name!r} {what}: {breach.said}.", hint=hint, id=identity)


@register
def mail_can_leave(**_: Any) -> Sequence[CheckMessage]:
    """With DEBUG and a server that may reach real people, the sandbox lets nothing out: say so."""
    found = sandbox.current()
    if found.allow or found.to:
        return []
    said = f"No mail will be sent: DEBUG is on and {settings.EMAIL_HOST}:{settings.EMAIL_PORT} may reach real people."
    hint = "Name your own address in EMAIL_SANDBOX_TO, or whom to allow in EMAIL_SANDBOX_ALLOW (* for everybody)."
    return [checks.Warning(said, hint=hint, id="outbox.W001")]


@register
def canary_has_an_address(**_: Any) -> Sequence[CheckMessage]:
    """A canary that cannot be enqueued would raise the alarm for ever."""
    try:
        if settings.CANARY_TO:
            normalised(settings.CANARY_TO)
    except BadAddress as error:
        return [Error(f"CANARY_TO: {error}", hint="Name a mailbox that takes everything.", id="outbox.E005")]
    return []
