"""The hand-written statements of the roll-up and of what people on call look at, each with its reason."""

from outbox.histogram import BOUNDS, SIZE
from outbox.states import OPEN, State

_EACH = range(1, SIZE + 1)  # PostgreSQL counts from 1
_BY_BUCKET = ", ".join(f"count(*) FILTER (WHERE bucket = {n - 1} AND outcome = 'delivered')::int" for n in _EACH)
_SUMMED = ", ".join(f"sum(buckets[{n}])::bigint" for n in _EACH)
_ADDED = ", ".join(f"total.buckets[{n}] + EXCLUDED.buckets[{n}]" for n in _EACH)

# Counted beside the outcomes of attempts: mails that died, some of them without an attempt of their own.
DIED = "died"

# The next stretch to count: from the first attempt or death after what is counted, to the last minute that is surely
# complete. Both moments are when the closing transaction began, and those last milliseconds; `settle` is many times
# that. Each of the minima is one read of an index.
NEXT_STRETCH = """
WITH counted AS (SELECT COALESCE(max(minute) + interval '1 minute', '-infinity') AS upto FROM outbox_minute)
SELECT date_trunc('minute', LEAST(
    (SELECT min(ended_at) FROM outbox_attempt WHERE ended_at >= (SELECT upto FROM counted)),
    (SELECT min(closed_at) FROM outbox_intent WHERE state = 'dead' AND closed_at >= (SELECT upto FROM counted)))),
  date_trunc('minute', now() - %(settle)s::interval)
"""

# roll up: counts, minutes and totals in one statement, so that a total holds exactly the minutes that are there.
# Two at once count the same rows; the second finds the minutes written and adds nothing. Both insert in one order, so
# they cannot wait for each other. Only delivered mails have a latency: from when they were first due. A letter that was
# replayed before its minute was counted has not died.
ROLL_UP = f"""
WITH ended AS (
  SELECT date_trunc('minute', attempt.ended_at) AS minute, intent.kind, attempt.outcome,
    GREATEST(0, extract(epoch FROM attempt.ended_at - intent.scheduled_at))::float8 AS took
  FROM outbox_attempt AS attempt JOIN outbox_intent AS intent ON intent.id = attempt.intent_id
  WHERE attempt.ended_at >= %(start)s AND attempt.ended_at < %(end)s
  UNION ALL SELECT date_trunc('minute', closed_at), kind, '{DIED}', NULL
  FROM outbox_intent WHERE state = 'dead' AND closed_at >= %(start)s AND closed_at < %(end)s
), placed AS (
  SELECT *, width_bucket(took, ARRAY[{", ".join(map(str, BOUNDS))}]::float8[]) AS bucket FROM ended
), minutes AS (
  INSERT INTO outbox_minute (minute, kind, outcome, count, seconds, buckets)
  SELECT minute, kind, outcome, count(*), COALESCE(sum(took) FILTER (WHERE outcome = 'delivered'), 0),
    ARRAY[{_BY_BUCKET}]
  FROM placed GROUP BY minute, kind, outcome ORDER BY minute, kind, outcome
  ON CONFLICT (minute, kind, outcome) DO NOTHING
  RETURNING kind, outcome, count, seconds, buckets
), totals AS (
  INSERT INTO outbox_total AS total (kind, outcome, count, seconds, buckets)
  SELECT kind, outcome, sum(count), sum(seconds), ARRAY[{_SUMMED}]
  FROM minutes GROUP BY kind, outcome ORDER BY kind, outcome
  ON CONFLICT (kind, outcome) DO UPDATE SET count = total.count + EXCLUDED.count,
    seconds = total.seconds + EXCLUDED.seconds, buckets = ARRAY[{_ADDED}]
)
SELECT count(*) FROM minutes
"""  # noqa: S608  (the bounds are ours)

# What is open, by state and kind. Each LIMIT ends the count of a backlog of a million: people need to know that it is
# long, not how long. One arm for each state, so that a long backlog cannot hide the few that are being sent; with the
# state written out the planner finds the partial indexes of the claim and of the rescue.
_OPEN = "(SELECT state, kind FROM outbox_intent WHERE state = '{0}' LIMIT %(stop)s)"
OPEN_INTENTS = f"""
SELECT state, kind, count(*) FROM ({" UNION ALL ".join(map(_OPEN.format, sorted(OPEN)))}) AS seen
GROUP BY state, kind ORDER BY state, kind
"""  # noqa: S608  (the states are ours)

# What is due, and how late the latest is: the first entries of the claim's index for each priority, whatever the length
# of the backlog or of what is planned for later. What was handed over and is not begun counts as late, too; there is
# never much of it. min() finds the latest as each arm is in order.
_LATE = """
WITH late AS (
  SELECT first.due_at FROM unnest(ARRAY[0, 1, 2]) AS given(priority), LATERAL (
    SELECT due_at FROM outbox_intent
    WHERE state = 'pending' AND priority = given.priority AND due_at <= now() ORDER BY due_at LIMIT %(stop)s) AS first
  UNION ALL SELECT due_at FROM outbox_intent WHERE state = 'claimed' AND due_at <= now())
SELECT LEAST(count(*), %(stop)s), now() - min(due_at){more} FROM late
"""
DUE = _LATE.format(more="")

# Beside it in one round trip: how many dead letters there are, and how long ago the last canary was accepted, or the
# first one asked for, while none was accepted yet.
_DEAD_CANARY = """,
  (SELECT count(*) FROM (SELECT 1 FROM outbox_intent WHERE state = 'dead' LIMIT %(stop)s) AS letters),
  now() - COALESCE(
    (SELECT closed_at FROM outbox_intent WHERE recipient = %(canary)s AND state = 'sent' ORDER BY id DESC LIMIT 1),
    (SELECT min(created_at) FROM outbox_intent WHERE recipient = %(canary)s))
"""
DUE_DEAD_CANARY = _LATE.format(more=_DEAD_CANARY)

# How many intents are in each state. One arm for each, with the state written out: only so does the planner find the
# partial indexes, and a count ends at the LIMIT.
_STATE = "SELECT '{0}', count(*) FROM (SELECT 1 FROM outbox_intent WHERE state = '{0}' LIMIT %(stop)s) AS {0}"
STATES = " UNION ALL ".join(map(_STATE.format, sorted(State)))

# Why the newest dead letters died. The provider's words hold addresses and queue ids, so its codes group them, and one
# text stands for the group. The LIMIT inside LATERAL keeps the planner to one index read per letter: it would rather
# read all attempts there ever were.
DEAD_REASONS = """
SELECT attempt.outcome, attempt.code, attempt.enhanced, count(*) AS count, min(letter.reason) AS example
FROM (SELECT id, attempts, reason FROM outbox_intent WHERE state = 'dead' ORDER BY closed_at DESC LIMIT %(newest)s)
  AS letter
LEFT JOIN LATERAL (
  SELECT outcome, code, enhanced FROM outbox_attempt WHERE intent_id = letter.id AND number = letter.attempts LIMIT 1)
  AS attempt ON true
GROUP BY attempt.outcome, attempt.code, attempt.enhanced ORDER BY count DESC, example LIMIT 8
"""

# The charts of the dashboard: the minutes of the last hour, and the last day in halves of hours, in one round trip.
_CHART = """
  SELECT {name} AS chart, date_bin({width}, minute, 'epoch') AS start, outcome, sum(count)::bigint AS count,
    ARRAY[{summed}] AS buckets
  FROM outbox_minute WHERE minute >= date_bin({width}, now(), 'epoch') - {span} GROUP BY start, outcome"""
_CHARTS = (
    ("'hour'", "interval '1 minute'", "interval '1 hour'"),
    ("'day'", "interval '30 minutes'", "interval '1 day'"),
)
CHARTS = " UNION ALL ".join(_CHART.format(name=n, width=w, span=s, summed=_SUMMED) for n, w, s in _CHARTS)
