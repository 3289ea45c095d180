"""Charts stay inside their frame, and tell what they were given."""

from datetime import UTC, datetime, timedelta

import pytest

from outbox import charts
from outbox.charts import HEIGHT, WIDTH

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENTS = [NOON + timedelta(minutes=n) for n in range(4)]


@pytest.mark.parametrize(("highest", "top"), [(0, "1"), (1, "1"), (3, "5"), (7, "10"), (140, "200"), (5001, "10,000")])
def test_the_axis_ends_at_a_number_that_people_can_read(highest, top):
    assert charts.bars(MOMENTS, {"delivered": [0, highest, 0, 0]}).top == top


def test_bars_are_stacked_and_fill_the_frame_at_most():
    chart = charts.bars(MOMENTS, {"delivered": [5, 0, 0, 1], "refused": [5, 0, 0, 0]})

    assert [(bar.name, bar.height) for bar in chart.bars] == [("delivered", 60), ("refused", 60), ("delivered", 12)]
    assert chart.bars[1].y == 0
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH and bar.y + bar.height <= HEIGHT for bar in chart.bars)
    assert chart.bars[0].words == "12:00 UTC: 5 delivered"


def test_a_line_has_a_hole_where_nothing_is_known():
    chart = charts.lines(MOMENTS, {"p50": [1, None, 100, 0.00001]})

    [line] = chart.lines
    assert chart.top == "100 s"
    assert line.pieces == ("15.0,60.0 135.0,60.0", "315.0,0.0 435.0,0.0 465.0,120.0 585.0,120.0")


def test_nothing_is_drawn_without_moments():
    assert charts.bars([], {"delivered": []}).bars == ()
    assert charts.lines([], {"p50": []}).moments == ()
