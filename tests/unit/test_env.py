"""Environment variables become typed values, or a sentence that names the variable."""

import traceback
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import env

SECRET = "s3cr3t"


@pytest.fixture
def given(monkeypatch):
    """Set X to a value, or leave it unset with None."""

    def give(value):
        monkeypatch.delenv("X_FILE", raising=False)
        if value is None:
            monkeypatch.delenv("X", raising=False)
        else:
            monkeypatch.setenv("X", value)

    return give


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        # text
        (lambda: env.text("X"), "as it is ", "as it is "),
        (lambda: env.text("X"), "", ""),
        (lambda: env.text("X", "usual"), None, "usual"),
        (lambda: env.text("X", "usual"), "", ""),
        # flag
        (lambda: env.flag("X", default=False), "1", True),
        (lambda: env.flag("X", default=False), " Yes ", True),
        (lambda: env.flag("X", default=False), "TRUE", True),
        (lambda: env.flag("X", default=False), "on", True),
        (lambda: env.flag("X", default=True), "0", False),
        (lambda: env.flag("X", default=True), "no", False),
        (lambda: env.flag("X", default=True), "False", False),
        (lambda: env.flag("X", default=True), "off", False),
        (lambda: env.flag("X", default=True), "", True),
        (lambda: env.flag("X", default=True), None, True),
        # integer
        (lambda: env.integer("X", 7), None, 7),
        (lambda: env.integer("X", 7), " 12 ", 12),
        (lambda: env.integer("X", 7), "0", 0),
        (lambda: env.integer("X", 7, least=1, most=9), "1", 1),
        (lambda: env.integer("X", 7, least=1, most=9), "9", 9),
        # number
        (lambda: env.number("X", 1.5, least=0), None, 1.5),
        (lambda: env.number("X", 1.5, least=0), "0.25", 0.25),
        (lambda: env.number("X", 1.5, least=1), "1", 1.0),
        # port
        (lambda: env.port("X", 25), None, 25),
        (lambda: env.port("X", 25), "65535", 65535),
        # duration
        (lambda: env.duration("X", "90s"), None, timedelta(seconds=90)),
        (lambda: env.duration("X", "90s"), "10", timedelta(seconds=10)),
        (lambda: env.duration("X", "90s"), "10s", timedelta(seconds=10)),
        (lambda: env.duration("X", "90s"), "250ms", timedelta(seconds=0.25)),
        (lambda: env.duration("X", "90s"), "5m", timedelta(minutes=5)),
        (lambda: env.duration("X", "90s"), "1.5h", timedelta(minutes=90)),
        (lambda: env.duration("X", "90s"), "3d", timedelta(days=3)),
        (lambda: env.duration("X", "90s"), "0", timedelta()),
        # words
        (lambda: env.words("X"), None, []),
        (lambda: env.words("X"), "", []),
        (lambda: env.words("X"), " a, b ,,c,", ["a", "b", "c"]),
        (lambda: env.words("X", "a,b"), None, ["a", "b"]),
        # redis
        (lambda: env.redis("X"), "redis://localhost", "redis://localhost"),
        (lambda: env.redis("X"), "redis://:pw@127.0.0.1:6379/0", "redis://:pw@127.0.0.1:6379/0"),
        (lambda: env.redis("X"), "rediss://user:pw@[::1]:6380/15?x=1", "rediss://user:pw@[::1]:6380/15?x=1"),
        # zone
        (lambda: env.zone("X", "Asia/Dubai"), None, "Asia/Dubai"),
        (lambda: env.zone("X", "Asia/Dubai"), "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_good_value_is_read(given, read, value, result):
    given(value)

    assert read() == result


@pytest.mark.parametrize(
    ("read", "value", "wanted"),
    [
        (lambda: env.text("X"), None, "X is required: set it, or X_FILE"),
        (lambda: env.flag("X", default=False), "maybe", "X is 'maybe'; use one of 1, true, yes, on, 0"),
        (lambda: env.flag("X", default=False), "2", "X is '2'"),
        (lambda: env.integer("X", 7), "", "X is ''; use a whole number from 0"),
        (lambda: env.integer("X", 7), "-1", "X is '-1'"),
        (lambda: env.integer("X", 7), "1.5", "X is '1.5'"),
        (lambda: env.integer("X", 7), "٣", "X is '٣'"),
        (lambda: env.integer("X", 7), "1_000", "X is '1_000'"),
        (lambda: env.integer("X", 7), "9" * 5000, "X is '999"),  # int() itself refuses so many digits
        (lambda: env.integer("X", 7, least=1, most=9), "0", "X is '0'; use a whole number from 1 to 9"),
        (lambda: env.integer("X", 7, least=1, most=9), "10", "X is '10'; use a whole number from 1 to 9"),
        (lambda: env.number("X", 1.5, least=1), "0.5", "X is '0.5'; use a number from 1"),
        (lambda: env.number("X", 1.5, least=0), "nan", "X is 'nan'"),
        (lambda: env.number("X", 1.5, least=0), "1e3", "X is '1e3'"),
        (lambda: env.number("X", 1.5, least=0), "-1", "X is '-1'"),
        (lambda: env.port("X", 25), "0", "X is '0'; use a whole number from 1 to 65535"),
        (lambda: env.port("X", 25), "65536", "X is '65536'"),
        (lambda: env.port("X", 25), "smtp", "X is 'smtp'"),
        (lambda: env.duration("X", "90s"), "", "X is ''; use a time such as 10, 10s, 5m, 6h or 3d"),
        (lambda: env.duration("X", "90s"), "10 s", "X is '10 s'"),
        (lambda: env.duration("X", "90s"), "1w", "X is '1w'"),
        (lambda: env.duration("X", "90s"), "-5s", "X is '-5s'"),
        (lambda: env.duration("X", "90s"), "soon", "X is 'soon'"),
        (lambda: env.duration("X", "90s"), "999999999.9d", "X is '999999999.9d'"),  # more than a timedelta holds
        (lambda: env.redis("X"), None, "X is required"),
        (lambda: env.redis("X"), "", "X must look like redis://"),
        (lambda: env.redis("X"), "localhost:6379", "X must look like redis://"),
        (lambda: env.redis("X"), "http://localhost:6379/0", "X must look like redis://"),
        (lambda: env.redis("X"), "redis://", "X must look like redis://"),
        (lambda: env.redis("X"), "redis://localhost:port/0", "X must look like redis://"),
        (lambda: env.redis("X"), "redis://localhost:99999/0", "X must look like redis://"),
        (lambda: env.redis("X"), "redis://localhost/zero", "X must look like redis://"),
        (lambda: env.database("X"), None, "X is required"),
        (lambda: env.database("X"), "", "X must look like postgresql://"),
        (lambda: env.database("X"), "localhost", "X must look like postgresql://"),
        (lambda: env.database("X"), "postgresql://u:p@host:port/name", "X must look like postgresql://"),
        (lambda: env.database("X"), "postgresql://u:p@host:99999/name", "X must look like postgresql://"),
        (lambda: env.database("X"), "postgresql://u:p@host:5432/", "X must look like postgresql://.*needs a name"),
        (lambda: env.database("X"), "sqlite:///db.sqlite3", "X must look like postgresql://.*only PostgreSQL works"),
        (lambda: env.database("X"), "mysql://u:p@host/name", "X must look like postgresql://.*only PostgreSQL works"),
        (lambda: env.database("X"), "gopher://u:p@host/name", "X must look like postgresql://"),
        (lambda: env.zone("X", "Asia/Dubai"), "Mars/Olympus", "X is 'Mars/Olympus'; use an IANA name"),
        (lambda: env.zone("X", "Asia/Dubai"), "", "X is ''"),
        (lambda: env.zone("X", "Asia/Dubai"), "../etc/passwd", "X is '../etc/passwd'"),
        (lambda: env.zone("X", "Asia/Dubai"), "UTC+3", "X is "),
    ],
)
def test_a_bad_value_stops_with_a_sentence_that_names_the_variable(given, read, value, wanted):
    given(value)

    with pytest.raises(ImproperlyConfigured, match=wanted):
        read()


def test_a_database_address_becomes_what_django_wants(given):
    given("postgresql://layla:p%40ss@db.example.com:6432/outbox?sslmode=require")

    read = env.database("X")

    assert {name: read[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")} == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "outbox",
        "USER": "layla",
        "PASSWORD": "p@ss",
        "HOST": "db.example.com",
        "PORT": 6432,
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_database_may_be_behind_the_local_socket(given, scheme):
    given(f"{scheme}:///outbox")

    assert (env.database("X")["NAME"], env.database("X")["HOST"]) == ("outbox", "")


@pytest.mark.parametrize("read", [env.database, env.redis])
@pytest.mark.parametrize(
    "value",
    [
        f"mysql://user:{SECRET}@host/name/0",
        f"postgresql://user:{SECRET}/more@host:5432/name",  # a slash that should have been quoted: "not a port"
        f"redis://user:{SECRET}/more@host:6379/0",
        f"postgresql://user:{SECRET}@host:port/name",
        f"redis://user:{SECRET}@host:port/0",
        f"postgresql://user:[{SECRET}@host/name",
        f"redis://user:[{SECRET}]@host/x",
        f"postgresql://user:{SECRET}@host:5432/",
        f"{SECRET}://host",
        SECRET,
    ],
)
def test_the_complaint_and_its_traceback_never_hold_the_password(given, read, value):
    given(value)

    with pytest.raises(ImproperlyConfigured) as raised:
        read("X")

    assert SECRET not in "".join(traceback.format_exception(raised.value))


# NAME_FILE


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The file that X_FILE names."""
    monkeypatch.setenv("X_FILE", str(tmp_path / "x"))
    return tmp_path / "x"


def test_a_file_is_read_without_the_line_end_that_editors_add(file):
    file.write_text(f"{SECRET}\n", encoding="utf-8")

    assert env.text("X") == SECRET


def test_a_file_goes_before_the_variable_and_the_default(file, monkeypatch):
    file.write_text("12", encoding="utf-8")
    monkeypatch.setenv("X", "34")

    assert env.text("X", "56") == "12"
    assert env.integer("X", 56) == 12


def test_an_empty_name_of_a_file_is_none(monkeypatch):
    monkeypatch.setenv("X_FILE", "")
    monkeypatch.setenv("X", "34")

    assert env.text("X") == "34"


def test_every_reader_takes_its_value_from_a_file(file):
    for content, read, result in (
        ("on", lambda: env.flag("X", default=False), True),
        ("5m", lambda: env.duration("X", "1s"), timedelta(minutes=5)),
        ("0.5", lambda: env.number("X", 1, least=0), 0.5),
        ("a,b", lambda: env.words("X"), ["a", "b"]),
        ("redis://h", lambda: env.redis("X"), "redis://h"),
        ("Asia/Dubai", lambda: env.zone("X", "UTC"), "Asia/Dubai"),
        ("postgresql:///outbox", lambda: env.database("X")["NAME"], "outbox"),
    ):
        file.write_text(f"{content}\n", encoding="utf-8")

        assert read() == result


def test_a_file_that_is_missing_is_told_by_its_variable(file):
    with pytest.raises(ImproperlyConfigured, match=f"X_FILE names '{file}', which cannot be read"):
        env.text("X", "default")


def test_a_file_that_is_no_text_is_told_without_its_content(file):
    file.write_bytes(SECRET.encode() + b"\xff")

    with pytest.raises(ImproperlyConfigured, match=r"X_FILE names .*, which cannot be read") as raised:
        env.text("X")

    assert SECRET not in "".join(traceback.format_exception(raised.value))


# Unknown names


def test_names_that_are_read_are_known_also_as_files(monkeypatch):
    monkeypatch.setenv("SHOP_LEASE", "1")
    monkeypatch.setenv("SHOP_RATE_FILE", "x")

    env.refuse_unknown("SHOP_", ["LEASE", "RATE"])


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("SHOP_LEESE", r"SHOP_LEESE is not a setting; did you mean SHOP_LEASE\?"),
        ("SHOP_LEESE_FILE", r"SHOP_LEESE_FILE is not a setting; did you mean SHOP_LEASE\?"),
        ("SHOP_XQJ", "SHOP_XQJ is not a setting; known are SHOP_LEASE, SHOP_RATE"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(monkeypatch, name, complaint):
    monkeypatch.setenv(name, SECRET)

    with pytest.raises(ImproperlyConfigured, match=complaint) as raised:
        env.refuse_unknown("SHOP_", ["LEASE", "RATE"])

    assert SECRET not in str(raised.value)


def test_two_flags_that_exclude_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("EMAIL_USE_TLS", "1")
    env.refuse_both("EMAIL_USE_TLS", "EMAIL_USE_SSL")
    monkeypatch.setenv("EMAIL_USE_SSL", "1")

    with pytest.raises(ImproperlyConfigured, match="EMAIL_USE_TLS and EMAIL_USE_SSL are both on"):
        env.refuse_both("EMAIL_USE_TLS", "EMAIL_USE_SSL")


def test_a_time_that_must_pass_may_not_be_nothing(monkeypatch):
    monkeypatch.setenv("EMAIL_TIMEOUT", "0s")

    with pytest.raises(ImproperlyConfigured, match="EMAIL_TIMEOUT is '0s'; it must be longer than nothing"):
        env.duration("EMAIL_TIMEOUT", "10s", above_zero=True)


def test_a_secret_may_not_be_empty(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", " ")

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is required and empty"):
        env.secret("SECRET_KEY")
