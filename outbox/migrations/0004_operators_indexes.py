import outbox.states
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # a big table goes on being written while its indexes are built

    dependencies = [
        ('outbox', '0003_operators'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='attempt',
            index=models.Index(fields=['ended_at'], name='attempt_roll_up'),
        ),
        AddIndexConcurrently(
            model_name='intent',
            index=models.Index(fields=['kind', '-id'], name='intent_list_kind'),
        ),
        AddIndexConcurrently(
            model_name='intent',
            index=models.Index(
                condition=models.Q(('state__in', [outbox.states.State['CANCELLED'], outbox.states.State['EXPIRED']])),
                fields=['state', '-id'],
                name='intent_list_rare',
            ),
        ),
    ]
