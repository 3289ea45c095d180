"""What is watched exists: rules, dashboard and runbook name the metrics that /metrics tells."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from outbox import exposition, rollup
from outbox.models import Attempt
from outbox.states import State
from tests.database.test_rollup import NOON
from tests.factories import make_intent

OPS = Path(__file__).parents[2] / "ops"
RULES = OPS / "monitoring" / "rules.yml"


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads((OPS / "monitoring" / "grafana.json").read_text())["panels"]
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels for target in panel["targets"]]


def told(settings) -> set[str]:
    """The names of all samples when everything there is to tell is there."""
    settings.CANARY_TO = "sink@example.com"
    make_intent(State.SENT, recipient="sink@example.com"), make_intent()
    Attempt.objects.update(started_at=NOON, ended_at=NOON)
    rollup.catch_up()
    return {sample.name for family in parse(exposition.text().decode()) for sample in family.samples}


@pytest.mark.django_db
def test_every_metric_that_is_watched_is_told_and_the_other_way_round(settings):
    watched = set(re.findall(r"\boutbox_\w+", " ".join(expressions())))
    names = told(settings)

    assert watched <= names
    assert {name for name in names if not name.endswith(("_sum", "_count"))} <= watched


def test_no_alert_waits_for_a_count_that_stops_to_grow():
    counts = r"(?<!absent\()\boutbox_(?:due|intents|dead_letters)\b"

    assert [rule["alert"] for rule in rules() if re.search(counts, rule["expr"])] == []


def test_every_label_that_is_watched_exists():
    labels = set(re.findall(r"by \(([^)]*)\)", " ".join(expressions())))

    assert {label for group in labels for label in group.split(", ")} <= {"kind", "outcome", "state", "le"}


def test_every_alert_has_its_place_in_the_runbook():
    headings = re.findall(r"^## (Outbox\w+)$", (OPS / "RUNBOOK.md").read_text(), re.MULTILINE)

    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"ops/RUNBOOK.md#{rule['alert'].lower()}"  # type: ignore[index]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not here")
def test_prometheus_takes_the_rules():
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
