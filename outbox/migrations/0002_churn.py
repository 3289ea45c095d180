"""Indexes and storage for tables whose every row is written three times within minutes.

Each change of state moves a row in an index, so no update of an intent can be HOT and room left on its pages would
stay empty: its fillfactor is left at 100. The provider's one row changes every second in no indexed column: half of
its page is kept free, so that it never grows. Autovacuum comes after 2 % and not after 20 % of a table, for the dead
entries at the head of the claim index are what a claim has to step over, and does not pause while it works.

Statistics from an idle moment say that nothing is open; then two empty indexes cost the same, and claims were planned
by the one for expiry, which reads the whole backlog. With a condition that no claim names it cannot be taken for one.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

import outbox.states

_OFTEN = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
_ANALYZED = "autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000"
_NAMES = (
    "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay, "
    "autovacuum_analyze_scale_factor, autovacuum_analyze_threshold"
)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('outbox', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='intent',
            index=models.Index(
                condition=models.Q(('priority', 0), ('state', outbox.states.State['CLAIMED'])),
                fields=['due_at'],
                name='intent_urgent',
            ),
        ),
        AddIndexConcurrently(
            model_name='intent',
            index=models.Index(
                condition=models.Q(
                    ('closed_at__isnull', True),
                    ('state__in', [outbox.states.State['CLAIMED'], outbox.states.State['PENDING'], outbox.states.State['SENDING']]),
                ),
                fields=['expires_at'],
                name='intent_expiry',
            ),
        ),
        RemoveIndexConcurrently(model_name='intent', name='intent_expire'),
        migrations.RunSQL(
            f"ALTER TABLE outbox_intent SET ({_OFTEN}, {_ANALYZED})",
            f"ALTER TABLE outbox_intent RESET ({_NAMES})",
        ),
        migrations.RunSQL(
            f"ALTER TABLE outbox_attempt SET ({_ANALYZED})",
            "ALTER TABLE outbox_attempt RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)",
        ),
        migrations.RunSQL(
            "ALTER TABLE outbox_provider SET (fillfactor = 50)",
            "ALTER TABLE outbox_provider RESET (fillfactor)",
        ),
    ]
