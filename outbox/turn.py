"""The turn that a sender takes nearly always: close what was delivered and begin what is due, in one statement."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from outbox import sql, transitions
from outbox.prepared import Prepared
from outbox.transitions import Begun, Claim, Closing

_DUE = """
  SELECT id FROM (SELECT id FROM outbox_intent
   WHERE state = 'pending' AND priority = {priority} AND due_at <= now() - %(overdue)s::interval
     AND expires_at > now() AND NOT alone AND EXISTS (SELECT FROM gate)
   ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS arm{priority}"""
_READY = """
  SELECT id FROM (SELECT id FROM outbox_intent
   WHERE state = 'pending' AND priority = {priority} AND due_at <= now() AND expires_at > now()
   ORDER BY due_at LIMIT COALESCE((SELECT free FROM gate), 0) FOR UPDATE SKIP LOCKED) AS arm{priority}"""

# turn: what a sender does nearly every time, in one round trip: close what was delivered, begin what is due.
# The limit counts on the lane of each delivered mail; one that cannot be closed just now keeps its lane.
# The provider's row is looked at in the same statement: unless all is well there (closed, no window, no pause, nobody
# lost) the answer is empty and nothing was done, and the steps are taken one by one. Claim and begin are one update
# here (both moves at once), and urgent mail that waits in the broker is taken over, as in TAKE_OVER. What goes `alone`
# is left to the steps.
TURN = Prepared(
    f"""
WITH gate AS MATERIALIZED (
  SELECT name, COALESCE(delivered_at < now() - interval '1 s', true) AS stamp_due FROM outbox_provider
  WHERE name = %(provider)s AND opened_at IS NULL AND paused_at IS NULL AND "window" IS NULL AND losers = '[]'
), given AS MATERIALIZED (
  SELECT given.* FROM gate, json_to_recordset(%(delivered)s::json) AS given(id bigint, token uuid, number int,
    phase text, outcome text, code smallint, enhanced text, text text)
), ending AS MATERIALIZED (
  SELECT intent.id, intent.begun_at, given.token FROM given JOIN outbox_intent AS intent
    ON intent.id = given.id AND intent.lease_token = given.token
  WHERE intent.state = 'sending' FOR UPDATE OF intent SKIP LOCKED
), closed AS (
  UPDATE outbox_intent AS intent
  SET state = 'sent', lease_token = NULL, lease_until = NULL, begun_at = NULL, data_begun = false, closed_at = now(),
    reason = '', alone = false
  FROM ending WHERE intent.id = ending.id RETURNING ending.token
), written AS (
  INSERT INTO outbox_attempt (intent_id, number, started_at, ended_at, phase, outcome, code, enhanced, text, worker)
  SELECT given.id, given.number, ending.begun_at, GREATEST(now(), ending.begun_at), given.phase, given.outcome,
    given.code, given.enhanced, given.text, %(worker)s
  FROM ending JOIN given USING (id)
  ON CONFLICT (intent_id, number) DO NOTHING
), stamped AS (
  UPDATE outbox_provider AS provider SET delivered_at = now() FROM gate
  WHERE provider.name = gate.name AND gate.stamp_due AND EXISTS (SELECT FROM ending)
), due AS MATERIALIZED (SELECT id FROM (
  SELECT id FROM (SELECT intent.id FROM json_to_recordset(%(claims)s::json) AS mine(id bigint, token uuid)
    JOIN outbox_intent AS intent ON intent.id = mine.id AND intent.lease_token = mine.token
   WHERE intent.state = 'claimed' AND intent.lease_until > now() AND intent.expires_at > now() AND NOT intent.alone
     AND EXISTS (SELECT FROM gate)
   LIMIT %(limit)s FOR UPDATE OF intent SKIP LOCKED) AS handed_over
  UNION ALL SELECT id FROM (SELECT id FROM outbox_intent
   WHERE state = 'claimed' AND priority = 0 AND due_at <= now() - %(overdue)s::interval AND expires_at > now()
     AND NOT alone AND EXISTS (SELECT FROM gate)
   ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS urgent
  UNION ALL {" UNION ALL ".join(_DUE.format(priority=priority) for priority in (0, 1, 2))}
) AS arms LIMIT GREATEST(0, %(limit)s - (SELECT count(*) FROM given) + (SELECT count(*) FROM ending))
), begun AS (
  UPDATE outbox_intent AS intent
  SET state = 'sending', lease_token = gen_random_uuid(), lease_until = now() + %(lease)s::interval,
    attempts = attempts + 1, spent = spent + 1, begun_at = now()
  FROM due WHERE intent.id = due.id
  RETURNING {sql.BEGUN}
)
SELECT (SELECT array_agg(token) FROM closed) AS closed, begun.* FROM gate LEFT JOIN begun ON true
""",  # noqa: S608  (the priorities and columns are ours)
    delivered="json",
    claims="json",
    limit="int",
    lease="interval",
    overdue="interval",
    provider="text",
    worker="text",
)


# claim ready: CLAIM_DUE with its two questions, is all well and how many may wait in the broker, in one round trip.
# COALESCE: a limit of NULL is none, and with no row of the gate nothing may be claimed.
CLAIM_READY = Prepared(
    f"""
WITH gate AS MATERIALIZED (
  SELECT GREATEST(0, %(ready)s - (SELECT count(*) FROM outbox_intent WHERE state = 'claimed')) AS free
  FROM outbox_provider
  WHERE name = %(provider)s AND opened_at IS NULL AND paused_at IS NULL AND "window" IS NULL
), due AS MATERIALIZED (SELECT id FROM (
  {" UNION ALL ".join(_READY.format(priority=priority) for priority in (0, 1, 2))}
) AS arms LIMIT COALESCE((SELECT free FROM gate), 0)
), claimed AS (
  UPDATE outbox_intent AS intent
  SET state = 'claimed', lease_token = gen_random_uuid(), lease_until = now() + %(lease)s::interval
  FROM due WHERE intent.id = due.id RETURNING intent.id, lease_token, alone, priority, due_at)
SELECT claimed.id, lease_token, alone FROM gate LEFT JOIN claimed ON true ORDER BY priority, due_at
""",  # noqa: S608  (the priorities are ours)
    ready="int",
    provider="text",
    lease="interval",
)


def claim_ready(ready: int, lease: timedelta, *, provider: str) -> list[Claim] | None:
    """Claim what is due while fewer than so many claims wait; None when the provider is not all well."""
    found = CLAIM_READY.rows({"ready": ready, "provider": provider, "lease": lease})
    return [Claim(*row) for row in found if row[0] is not None] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """The tokens that were closed, and what was begun; the rest was lost or is locked just now."""

    closed: frozenset[UUID]
    begun: Sequence[Begun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many to begin, for how long, and how long they must have been due; the handed over `claims` go first."""

    limit: int
    lease: timedelta
    overdue: timedelta
    claims: Sequence[Claim] = ()


def turn(delivered: Sequence[Closing], wanted: Wanted, *, provider: str, worker: str) -> Turned | None:
    """Close what was delivered and begin up to so many; None when the provider is not all well: nothing was done.

    What it closed is announced by the caller, who has lanes to feed first.
    """
    found = TURN.rows(
        {
            "delivered": json.dumps([_facts(closing) for closing in delivered]),
            "claims": json.dumps([{"id": claim.intent_id, "token": claim.token.hex} for claim in wanted.claims]),
            "limit": wanted.limit,
            "lease": wanted.lease,
            "overdue": wanted.overdue,
            "provider": provider,
            "worker": worker,
        }
    )
    if not found:
        return None
    closed = frozenset(found[0][0] or ())
    begun = [transitions.begun_of(row[1:]) for row in found if row[1] is not None]  # no row of `begun`: NULLs
    return Turned(closed=closed, begun=begun)


def _facts(closing: Closing) -> dict[str, object]:
    claim = closing.claim
    return {
        "id": claim.intent_id,
        "token": claim.token.hex,
        "number": closing.number,
        **transitions.attempt(closing.outcome),
    }
