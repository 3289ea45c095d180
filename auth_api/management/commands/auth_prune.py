"""Delete old reset requests, ended sessions and used-up allowances."""

from django.core.management.base import BaseCommand

from auth_api import pruner


class Command(BaseCommand):
    help = __doc__

    def handle(self, *_: object, **__: object) -> None:
        pruned = pruner.prune()
        self.stdout.write(
            f"deleted {pruned.requests} reset requests, {pruned.sessions} sessions, {pruned.allowances} allowances"
        )
