"""Every hand-written statement, named, with the reason it is not the ORM, and the helpers that run them.

The database's clock decides everything: waits come in as intervals and are added to `now()`.
Rows are locked with SKIP LOCKED throughout: a row that a business transaction holds is tried again next turn.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.db import connection


def rows(statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def records(statement: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run one statement and return its rows by column name."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


# enqueue: the ORM has no ON CONFLICT … DO NOTHING … RETURNING on a partial index, and one statement for many rows
# keeps enqueue_many at one round trip. GREATEST passes over NULL; a moment that is past means now.
# One row is given as plain values: as 18 arrays it would take a third longer.
_COPIED = (
    "task_id uuid, kind text, recipient text, language text, context jsonb, payload bytea, owner text, "
    "dedupe_key text, message_id text, priority smallint, repeatable boolean, is_sample boolean, reason text, "
    "actor text, trace jsonb, resent_from_id bigint"
)
GIVEN = dict(each.split() for each in f"{_COPIED}, not_before timestamptz, lifetime interval".split(", "))


def _enqueue(rows_: str, value: Callable[[str], str]) -> str:
    columns = [each.split()[0] for each in _COPIED.split(", ")]
    start = f"GREATEST({value('not_before')}, now())"
    times = f"now(), {start}, {start}, {start} + {value('lifetime')}"
    return f"""
INSERT INTO outbox_intent ({", ".join(columns)}, created_at, scheduled_at, due_at, expires_at, state, attempts, spent,
  data_begun, maybe_sent, alone, excused)
{rows_.format(f"{', '.join(map(value, columns))}, {times}, 'pending', 0, 0, false, false, false, false")}
ON CONFLICT (dedupe_key) WHERE state IN ('claimed', 'pending', 'sending') DO NOTHING
RETURNING task_id, id, created_at, scheduled_at, due_at, expires_at
"""


_ARRAYS = ", ".join(f"%({name})s::{kind}[]" for name, kind in GIVEN.items())
_MANY = f"SELECT {{}} FROM unnest({_ARRAYS}) WITH ORDINALITY AS given({', '.join(GIVEN)}, place) ORDER BY place"  # noqa: S608
ENQUEUE = _enqueue(_MANY, str)
ENQUEUE_ONE = _enqueue("VALUES ({})", lambda name: f"%({name})s::{GIVEN[name]}")

# claim: lock and lease due intents in one round trip; the ORM has no UPDATE … RETURNING.
# MATERIALIZED: the planner must not run the locking part twice and exceed the limit.
# One range scan of (priority, due_at) per priority; UNION ALL runs its arms in order and stops at the limit, so a
# backlog of bulk is never read to find the urgent. (A locking SELECT may not be an arm of UNION itself, hence the
# subselects.) Each row gets a token of its own. An UPDATE answers in any order, so the most urgent are put first again.
_DUE = """
  SELECT id FROM (SELECT id FROM outbox_intent
   WHERE state = 'pending' AND priority = {priority} AND due_at <= now() - %(overdue)s::interval
     AND expires_at > now() AND (%(solo)s OR NOT alone)
   ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS arm{priority}"""
CLAIM_DUE = f"""
WITH due AS MATERIALIZED (SELECT id FROM (
  {" UNION ALL ".join(_DUE.format(priority=priority) for priority in (0, 1, 2))}
) AS arms LIMIT %(limit)s
), claimed AS (
  UPDATE outbox_intent AS intent
  SET state = 'claimed', lease_token = gen_random_uuid(), lease_until = now() + %(lease)s::interval
  FROM due WHERE intent.id = due.id RETURNING intent.id, lease_token, alone, priority, due_at)
SELECT id, lease_token, alone FROM claimed ORDER BY priority, due_at
"""  # noqa: S608  (the priorities are ours)

# take over: urgent mail that was handed to a broker, but that nobody has begun, goes with whoever has a lane free.
# Its own task finds the token gone.
TAKE_OVER = """
WITH urgent AS MATERIALIZED (
  SELECT id FROM outbox_intent
  WHERE state = 'claimed' AND priority = 0 AND due_at <= now() - %(overdue)s::interval AND expires_at > now()
    AND NOT alone AND NOT id = ANY(%(mine)s::bigint[])
  ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE outbox_intent AS intent
  SET lease_token = gen_random_uuid(), lease_until = now() + %(lease)s::interval
  FROM urgent WHERE intent.id = urgent.id RETURNING intent.id, lease_token, alone, due_at)
SELECT id, lease_token, alone FROM taken ORDER BY due_at
"""

# What a lane, the policy and the close need of an attempt that has begun; in the order of transitions.Begun.
BEGUN = """intent.id, intent.lease_token, intent.task_id, intent.kind, intent.recipient, intent.language,
  intent.context, intent.payload, intent.message_id, intent.repeatable, intent.is_sample, intent.attempts, intent.spent,
  intent.alone, intent.excused, now() - intent.scheduled_at, intent.expires_at - now(), intent.trace"""

# begin: many rows, each with a token of its own, in one round trip, returning what the lanes need.
# A claim whose lease ran out is not begun: the rescuer may be at it.
BEGIN = f"""
WITH held AS MATERIALIZED (
  SELECT intent.id FROM outbox_intent AS intent
  JOIN unnest(%(id)s::bigint[], %(token)s::uuid[]) AS given(id, token)
    ON intent.id = given.id AND intent.lease_token = given.token
  WHERE intent.state = 'claimed' AND intent.lease_until > now() AND intent.expires_at > now()
    AND (%(solo)s OR NOT intent.alone)
  FOR UPDATE OF intent SKIP LOCKED)
UPDATE outbox_intent AS intent
SET state = 'sending', attempts = attempts + 1, spent = spent + 1, begun_at = now(),
    lease_until = now() + %(lease)s::interval
FROM held WHERE intent.id = held.id RETURNING {BEGUN}
"""  # noqa: S608  (the columns are ours)

# What became of claims that BEGIN or CLOSE did not return: still ours (locked just now, or to be begun alone), or lost.
STILL_HELD = """
SELECT intent.id, intent.lease_token, intent.alone FROM outbox_intent AS intent
JOIN unnest(%(id)s::bigint[], %(token)s::uuid[]) AS given(id, token)
  ON intent.id = given.id AND intent.lease_token = given.token
WHERE intent.state = %(state)s
"""

# renew: never past the attempt's deadline, so that a lane that hangs loses its mail.
RENEW = """
WITH held AS MATERIALIZED (
  SELECT intent.id FROM outbox_intent AS intent
  JOIN unnest(%(id)s::bigint[], %(token)s::uuid[]) AS given(id, token)
    ON intent.id = given.id AND intent.lease_token = given.token
  FOR UPDATE OF intent SKIP LOCKED)
UPDATE outbox_intent AS intent
SET lease_until = LEAST(now() + %(lease)s::interval,
                        GREATEST(intent.lease_until, COALESCE(intent.begun_at + %(deadline)s::interval, 'infinity')))
FROM held WHERE intent.id = held.id
RETURNING intent.lease_token, intent.lease_until >= now() + %(lease)s::interval AS is_whole
"""

# The last word before DATA of a mail that must not be repeated: after this commit a lost lease means "unknown".
BEGIN_DATA = """
WITH held AS MATERIALIZED (
  SELECT id FROM outbox_intent
  WHERE id = %(id)s AND lease_token = %(token)s AND state = 'sending' FOR UPDATE SKIP LOCKED)
UPDATE outbox_intent AS intent SET data_begun = true FROM held WHERE intent.id = held.id RETURNING intent.id
"""

# close: leave `sending` and write the attempt, for many rows at once; guarded by state and token row by row.
# A wait of nothing leaves due_at alone, so that a mail lost again and again still looks as old as it is.
CLOSE = """
WITH given AS MATERIALIZED (
  SELECT * FROM unnest(%(id)s::bigint[], %(token)s::uuid[], %(number)s::int[], %(state)s::text[],
      %(wait)s::interval[], %(reason)s::text[], %(refund)s::int[], %(maybe_sent)s::boolean[], %(alone)s::boolean[],
      %(excused)s::boolean[], %(phase)s::text[], %(outcome)s::text[], %(code)s::smallint[], %(enhanced)s::text[],
      %(text)s::text[])
    AS given(id, token, number, state, wait, reason, refund, maybe_sent, alone, excused, phase, outcome, code,
      enhanced, text)
), held AS MATERIALIZED (
  SELECT intent.id, intent.lease_token AS token, intent.begun_at FROM outbox_intent AS intent
  JOIN given ON intent.id = given.id AND intent.lease_token = given.token
  WHERE intent.state = 'sending' FOR UPDATE OF intent SKIP LOCKED
), closed AS (
  UPDATE outbox_intent AS intent
  SET state = given.state, lease_token = NULL, lease_until = NULL, begun_at = NULL, data_begun = false,
    due_at = CASE WHEN given.state = 'pending' AND given.wait > interval '0' THEN now() + given.wait
                  ELSE intent.due_at END,
    closed_at = CASE WHEN given.state <> 'pending' THEN now() END,
    reason = given.reason, spent = intent.spent - given.refund,
    maybe_sent = intent.maybe_sent OR given.maybe_sent, alone = given.alone,
    excused = intent.excused OR given.excused
  FROM held JOIN given USING (id, token) WHERE intent.id = held.id
  RETURNING intent.id, held.token
), written AS (
  INSERT INTO outbox_attempt (intent_id, number, started_at, ended_at, phase, outcome, code, enhanced, text, worker)
  SELECT given.id, given.number, held.begun_at, GREATEST(now(), held.begun_at), given.phase, given.outcome, given.code,
    given.enhanced, given.text, %(worker)s
  FROM closed JOIN given USING (id, token) JOIN held USING (id, token)
  ON CONFLICT (intent_id, number) DO NOTHING)
SELECT token FROM closed
"""

# A Delivered whose lease was lost: a fact beats a guess (design: the one exception to the fence).
# The attempt is overwritten; the intent is closed only if no later attempt was begun. FOR UPDATE SKIP LOCKED here too:
# the caller sees no row for a locked intent and tries again.
LATE_DELIVERED = """
WITH held AS MATERIALIZED (
  SELECT id, attempts, state FROM outbox_intent WHERE id = %(id)s FOR UPDATE SKIP LOCKED
), written AS (
  INSERT INTO outbox_attempt AS attempt
    (intent_id, number, started_at, ended_at, phase, outcome, code, enhanced, text, worker)
  SELECT id, %(number)s, now(), now(), %(phase)s, %(outcome)s, %(code)s, %(enhanced)s, %(text)s, %(worker)s FROM held
  ON CONFLICT (intent_id, number) DO UPDATE SET phase = EXCLUDED.phase, outcome = EXCLUDED.outcome,
    code = EXCLUDED.code, enhanced = EXCLUDED.enhanced, text = EXCLUDED.text, worker = EXCLUDED.worker,
    ended_at = EXCLUDED.ended_at
), closed AS (
  UPDATE outbox_intent AS intent
  SET state = 'sent', lease_token = NULL, lease_until = NULL, closed_at = now(), reason = %(text)s
  FROM held WHERE intent.id = held.id AND held.attempts = %(number)s AND held.state = ANY(%(from_states)s)
  RETURNING intent.id)
SELECT held.id, closed.id IS NOT NULL AS closed FROM held LEFT JOIN closed USING (id)
"""

EXISTS = "SELECT 1 FROM outbox_intent WHERE id = %(id)s"

# give back: claims that nobody began, all in one statement. Only the lease is cleared.
GIVE_BACK = """
WITH held AS MATERIALIZED (
  SELECT intent.id FROM outbox_intent AS intent
  JOIN unnest(%(id)s::bigint[], %(token)s::uuid[]) AS given(id, token)
    ON intent.id = given.id AND intent.lease_token = given.token
  WHERE intent.state = 'claimed' FOR UPDATE OF intent SKIP LOCKED)
UPDATE outbox_intent AS intent SET state = 'pending', lease_token = NULL, lease_until = NULL
FROM held WHERE intent.id = held.id RETURNING intent.id
"""

# rescue, first half: claims that were never begun go back as they are. For one lease after PostgreSQL's own start
# nothing is rescued: a holder that got its 250 while the database was away records it first.
RESCUE_CLAIMED = """
WITH lost AS MATERIALIZED (
  SELECT id FROM outbox_intent
  WHERE state = 'claimed' AND lease_until < now()
    AND now() - pg_postmaster_start_time() > %(lease)s::interval
  ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE outbox_intent AS intent SET state = 'pending', lease_token = NULL, lease_until = NULL
FROM lost WHERE intent.id = lost.id RETURNING intent.task_id
"""

# rescue, second half: attempts whose holder is gone; policy decides, CLOSE writes.
LOST_SENDING = """
SELECT id, lease_token AS token, task_id, kind, attempts AS number, spent, repeatable, data_begun, trace
FROM outbox_intent
WHERE state = 'sending' AND lease_until < now() AND now() - pg_postmaster_start_time() > %(lease)s::interval
ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

# expire: what may be out although no answer came is dead (outcome unknown); everything else is provably not sent.
EXPIRE = """
WITH over AS MATERIALIZED (
  SELECT id FROM outbox_intent
  WHERE state IN ('pending', 'claimed') AND closed_at IS NULL AND expires_at <= now()
  ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE outbox_intent AS intent
SET state = CASE WHEN maybe_sent THEN 'dead' ELSE 'expired' END, lease_token = NULL, lease_until = NULL,
  closed_at = now(),
  reason = CASE WHEN maybe_sent THEN 'outcome unknown: its lifetime ended before it could be repeated'
                ELSE 'its lifetime ended before it could be sent' END
FROM over WHERE intent.id = over.id RETURNING intent.task_id, intent.state
"""

# cancel: what is not under way. SKIP LOCKED would report a locked row as not cancelled, so this one waits: it runs
# in a person's or a business transaction, never in a sender.
CANCEL = """
UPDATE outbox_intent
SET state = 'cancelled', lease_token = NULL, lease_until = NULL, closed_at = now(), reason = %(reason)s,
  actor = %(actor)s
WHERE id = ANY(%(id)s) AND state IN ('pending', 'claimed')
RETURNING id
"""

# replay: a dead letter is due again now, with a fresh count of tries, unless its lifetime is over or its key is taken.
REPLAY = """
UPDATE outbox_intent AS intent
SET state = 'pending', spent = 0, closed_at = NULL, due_at = now(), scheduled_at = now(), reason = %(reason)s,
  actor = %(actor)s, alone = false
WHERE id = ANY(%(id)s) AND state = 'dead' AND expires_at > now()
  AND NOT EXISTS (SELECT 1 FROM outbox_intent AS other WHERE other.dedupe_key = intent.dedupe_key
                  AND other.state IN ('pending', 'claimed', 'sending'))
RETURNING id
"""

# How much may be claimed: rows held (for slow start) and claims that wait in the broker, in one scan of the held.
HELD = """
SELECT count(*) AS held, count(*) FILTER (WHERE state = 'claimed') AS waiting
FROM outbox_intent WHERE state IN ('claimed', 'sending')
"""

# The provider's row with its ages judged by the database's clock, read in every turn.
GATE = """
SELECT opened_at IS NOT NULL AS is_open, paused_at IS NOT NULL AS paused, reason, wait, "window", window_delivered,
  losers, COALESCE(delivered_at > now() - interval '10 s', false) AS delivering,
  COALESCE(delivered_at < now() - interval '1 s', true) AS stamp_due
FROM outbox_provider WHERE name = %(name)s
"""
GATE_LOCKED = GATE + "FOR UPDATE"

# The rate limit: `rate_at` is when everything taken so far is paid for (GCRA), never further back than one burst.
AFFORDABLE = """
SELECT floor(0.000001 + %(rate)s::float8 * extract(epoch FROM
  now() - GREATEST(rate_at, now() - make_interval(secs => %(burst)s / %(rate)s::float8))))::int
FROM outbox_provider WHERE name = %(name)s
"""
SPEND = """
UPDATE outbox_provider SET rate_at = make_interval(secs => %(claimed)s / %(rate)s::float8)
  + GREATEST(rate_at, now() - make_interval(secs => %(burst)s / %(rate)s::float8))
WHERE name = %(name)s
"""

# The catalogue's own tables have no models. A unique constraint with a condition is an index there.
VALID_CONSTRAINTS = """
SELECT conname FROM pg_constraint WHERE convalidated
UNION SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indisvalid AND indisunique
"""
