"""Steps that tests of commands share."""

from io import StringIO

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.core.management import CommandError, call_command

from outbox.models import Intent
from outbox.states import State
from tests.database.outbox_steps import NOTHING
from tests.factories import make_intent


def run(*words):
    """What the command printed; its errors too when it ends with one."""
    out, err = StringIO(), StringIO()
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue()


def complaint(*words):
    with pytest.raises(CommandError) as told:
        run(*words)
    assert told.value.returncode == 1
    return str(told.value)


def dead(*, died=NOTHING, **columns):
    return make_intent(State.DEAD, closed_at=Now() - died, **columns)


def pending():
    return set(Intent.objects.filter(state="pending").values_list("pk", flat=True))


def rows_of(printed):
    """The cells of all rows in the tables."""
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
