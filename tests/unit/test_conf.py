"""The outbox settings: typed, checked once, and told by name."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from outbox import conf
from outbox.conf import Conf
from outbox.policy import RetryPolicy

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"lease": timedelta()}, "OUTBOX_LEASE must be longer than nothing"),
        ({"tick": timedelta()}, "OUTBOX_TICK must be longer than nothing"),
        ({"slice": timedelta()}, "OUTBOX_SLICE must be longer than nothing"),
        ({"backoff": timedelta()}, "OUTBOX_BACKOFF must be longer than nothing"),
        ({"answer_timeout": timedelta()}, "OUTBOX_ANSWER_TIMEOUT must be longer than nothing"),
        ({"deadline": timedelta()}, "OUTBOX_DEADLINE must be longer than nothing"),
        ({"lifetime": timedelta()}, "OUTBOX_LIFETIME must be longer than nothing"),
        ({"retention": timedelta()}, "OUTBOX_RETENTION must be longer than nothing"),
        ({"dead_retention": timedelta()}, "OUTBOX_DEAD_RETENTION must be longer than nothing"),
        ({"lease": 0.9 * SECOND}, r"OUTBOX_LEASE must be at least 1\.0 s"),
        ({"deadline": 59 * SECOND}, "OUTBOX_DEADLINE must not be shorter than OUTBOX_ANSWER_TIMEOUT"),
        ({"backoff_max": 59 * SECOND}, "OUTBOX_BACKOFF_MAX must not be shorter than OUTBOX_BACKOFF"),
        ({"message_id_domain": "two words.example"}, "OUTBOX_MESSAGE_ID_DOMAIN"),
        ({"message_id_domain": "bücher.example"}, "OUTBOX_MESSAGE_ID_DOMAIN"),
        ({"message_id_domain": "x>\r\nBcc: y"}, "OUTBOX_MESSAGE_ID_DOMAIN"),
    ],
)
def test_values_that_cannot_work_are_refused_by_the_name_of_their_setting(changes, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint):
        Conf(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"lease": SECOND},
        {"deadline": 60 * SECOND, "answer_timeout": 60 * SECOND},
        {"backoff": SECOND, "backoff_max": SECOND},
        {"standby_after": timedelta()},
        {"message_id_domain": "mail-1.example.com"},
    ],
)
def test_values_at_the_very_edge_are_taken(changes):
    given = Conf(**changes)

    assert {name: getattr(given, name) for name in changes} == changes


def test_the_defaults_are_those_of_the_design():
    default = Conf()

    assert (default.lease, default.tick, default.slice) == (10 * SECOND, SECOND, SECOND)
    assert (default.answer_timeout, default.deadline) == (60 * SECOND, 120 * SECOND)
    assert (default.lanes, default.rate, default.standby_after) == (8, 0, 3 * SECOND)
    assert default.lifetime == timedelta(days=3)
    assert default.policy == RetryPolicy(
        max_retries=3, base=60 * SECOND, factor=10, ceiling=timedelta(hours=6), jitter=0.1
    )


def test_a_lease_of_ten_seconds_is_renewed_every_three_and_trusted_for_eight():
    assert Conf().renew_every == 3 * SECOND
    assert Conf().fence == 8 * SECOND
    assert Conf().permit_lasts == SECOND


def test_the_global_policy_follows_the_settings():
    given = Conf(retries=7, backoff=2 * SECOND, backoff_factor=3, backoff_max=9 * SECOND)

    assert given.policy == RetryPolicy(max_retries=7, base=2 * SECOND, factor=3, ceiling=9 * SECOND)


def test_settings_are_read_by_their_names_in_capitals(settings):
    settings.OUTBOX = {"LANES": 3, "LEASE": 20 * SECOND}

    assert conf.outbox().lanes == 3
    assert conf.outbox().lease == 20 * SECOND


def test_a_project_may_leave_them_all_out(settings):
    del settings.OUTBOX

    assert conf.outbox() == Conf()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("LEESE", r"OUTBOX has no setting LEESE\. Did you mean LEASE\?"),
        ("BACKOF_MAX", r"OUTBOX has no setting BACKOF_MAX\. Did you mean BACKOFF_MAX\?"),
        ("COLOUR", r"OUTBOX has no setting COLOUR\.$"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(settings, name, complaint):
    settings.OUTBOX = {name: 1}

    with pytest.raises(ImproperlyConfigured, match=complaint):
        conf.outbox()


def test_settings_are_checked_once_per_process(settings):
    settings.OUTBOX = {"LANES": 3}

    assert conf.outbox() is conf.outbox()


def test_every_setting_of_the_design_exists():
    names = (
        "LEASE RETRIES BACKOFF BACKOFF_FACTOR BACKOFF_MAX LIFETIME TICK SLICE LANES READY RATE ANSWER_TIMEOUT "
        "DEADLINE STANDBY_AFTER RETENTION DEAD_RETENTION MESSAGE_ID_DOMAIN"
    )

    assert {name.lower() for name in names.split()} == set(Conf.__slots__)
