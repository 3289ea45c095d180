"""Checks every invariant on the live tables."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from outbox import doctor
from outbox.management import answers


class Command(BaseCommand):
    help = (
        "Checks the invariants of intents and attempts on the live tables; it reads all of them, and changes nothing. "
        "Exits with 0 when all hold, with 1 when one does not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        findings, known = doctor.examine(), len(doctor.names())
        facts = {"invariants": known, "broken": [asdict(finding) for finding in findings]}
        told = (
            answers.table(
                "broken invariants",
                ["rows", "invariant", "for instance"],
                ((finding.count, finding.invariant, ", ".join(finding.examples)) for finding in findings),
            )
            if findings
            else f"all {known} invariants hold"
        )
        answers.answer(self, facts, told, as_json=options["json"])
        if findings:
            raise CommandError(f"{len(findings)} of {known} invariants do not hold")
