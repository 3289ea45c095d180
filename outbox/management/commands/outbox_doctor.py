"""Checks every invariant on the live tables."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from outbox import doctor


class Command(BaseCommand):
    help = "Checks the invariants of intents and attempts on the live tables; exits with 1 when one does not hold."

    def handle(self, **options: Any) -> None:
        findings = doctor.examine()
        for finding in findings:
            examples = ", ".join(finding.examples)
            self.stderr.write(f"broken: {finding.invariant}: {finding.count}, for instance {examples}")
        if findings:
            raise CommandError(f"{len(findings)} of {len(doctor.names())} invariants do not hold")
        self.stdout.write(f"all {len(doctor.names())} invariants hold")
