"""A kind and its templates keep their contract, and `manage.py check` says where they do not."""

import shutil
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.core.management import CommandError, call_command

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import checks, contract, kinds
from outbox.contract import Rule
from outbox.kinds import Kind

GOOD = {"subject.txt": "Hi", "body.txt": "Hi {{ name }}", "body.html": "<p>Hi {{ name }}</p>"}
ARABIC = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


@pytest.fixture
def write_kind(settings, tmp_path, monkeypatch):
    """A kind of one's own: its parts in (None leaves one out), the declared kind out; it is the only one."""

    def write(parts, *, arabic="", declared=("name",), others=()):
        for file, source in {**GOOD, **{f"../{name}": text for name, text in others}, **parts}.items():
            path = tmp_path / "emails/own" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if source is not None:
                path.write_text(source, encoding="utf-8")
        _compile(tmp_path / "locale", arabic)
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        settings.LOCALE_PATHS = [tmp_path / "locale"]
        kind = Kind(name="own", variables=frozenset(declared), sample=dict.fromkeys(declared, "Layla"))
        monkeypatch.setattr(kinds, "_registry", {"own": kind})
        return kind

    return write


def _compile(folder, arabic):
    folder = folder / "ar/LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.po").write_text(ARABIC + arabic, encoding="utf-8")
    with (folder / "django.po").open("rb") as source, (folder / "django.mo").open("wb") as compiled:
        write_mo(compiled, read_po(source, locale="ar"))


def found(kind):
    return [(breach.rule, breach.said) for breach in contract.breaches(kind)]


def test_the_mails_of_this_project_keep_the_contract():
    assert checks.every_kind_keeps_the_contract() == []


def test_a_kind_whose_templates_are_as_they_should_be_is_not_complained_of(write_kind):
    assert found(write_kind({})) == []


@pytest.mark.parametrize("part", ["subject.txt", "body.txt", "body.html"])
def test_a_part_that_is_missing_is_found_by_name(write_kind, part):
    assert found(write_kind({part: None})) == [(Rule.PART_MISSING, part)]


def test_a_kind_without_a_folder_misses_every_part(write_kind):
    write_kind({})

    said = [said for _, said in found(Kind(name="other", variables=frozenset(), sample={}))]
    assert said == ["subject.txt", "body.txt", "body.html"]


# --- Undeclared variables -------------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["subject.txt", "body.txt", "body.html"])
def test_a_variable_that_is_not_declared_is_found_also_where_the_sample_does_not_reach(write_kind, part):
    kind = write_kind({part: "{% if not name %}{{ nmae }}{% endif %}"})

    assert found(kind) == [(Rule.NOT_DECLARED, f"own/{part}: nmae")]


def test_a_variable_that_only_a_translation_uses_is_found(write_kind):
    kind = write_kind(
        {"body.txt": "{% if not name %}{% trans %}Hi {{ name }}{% endtrans %}{% endif %}"},
        arabic='msgid "Hi {{ name }}"\nmsgstr "أهلًا {{ nmae }}"\n',
    )

    assert found(kind) == [(Rule.NOT_DECLARED, "own/body.txt: nmae")]


@pytest.mark.parametrize(
    "body",
    [
        '{% if not name %}{% include "piece.html" %}{% endif %}',
        '{% if not name %}{% from "piece.html" import piece %}{{ piece() }}{% endif %}',
        '{% extends "frame.html" %}',
    ],
)
def test_a_variable_in_what_the_mail_is_put_together_from_is_found(write_kind, body):
    pieces = [
        ("piece.html", "{% macro piece() %}{{ city }}{% endmacro %}"),
        ("frame.html", "{% if not name %}{% block greeting %}{{ city }}{% endblock %}{% endif %}"),
    ]

    kind = write_kind({"body.html": body}, others=pieces)

    name = "frame.html" if "frame" in body else "piece.html"
    assert found(kind) == [(Rule.NOT_DECLARED, f"{name}: city")]


@pytest.mark.parametrize(
    ("own_block", "complaints"),
    [("Hi", []), ("{{ super() }}", [(Rule.CANNOT_RENDER, "en: UndefinedError: 'city' is undefined")])],
)
def test_what_a_block_that_the_mail_replaces_would_use_does_not_count(write_kind, own_block, complaints):
    body = '{% extends "frame.html" %}{% block greeting %}' + own_block + "{% endblock %}"
    frame = ("frame.html", "{% block greeting %}{{ city }}{% endblock %}")

    assert found(write_kind({"body.html": body}, others=[frame]))[:1] == complaints


def test_what_a_template_sets_or_imports_itself_is_declared_enough(write_kind):
    body = (
        '{% extends "frame.html" %}{% from "frame.html" import mark as m %}{% import "frame.html" as frame %}'
        "{% set city = name %}{% block greeting %}{{ city }}{{ m() }}{{ frame.mark() }}{% endblock %}"
    )
    frame = ("frame.html", "{% macro mark() %}!{% endmacro %}{% block greeting %}{% endblock %}")

    assert found(write_kind({"body.html": body}, others=[frame])) == []


@pytest.mark.parametrize("body", ["{% if not name %}{{ brand.nmae }}{% endif %}", "{{ name|nonsense }}", "{% if"])
def test_a_template_that_cannot_be_compiled_is_found(write_kind, body):
    [(rule, said), *_] = found(write_kind({"body.html": body}))

    assert rule is Rule.CANNOT_RENDER
    assert said.startswith("en: Template")


def test_a_sample_that_the_template_cannot_be_rendered_with_is_found(write_kind):
    [(rule, said), *_] = found(write_kind({"body.txt": "{{ 1 // (name|length - 5) }}"}))

    assert rule is Rule.CANNOT_RENDER
    assert said.startswith("en: ZeroDivisionError: ")


# --- Translations ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arabic", ["", 'msgid "Hi there"\nmsgstr ""\n', '#, fuzzy\nmsgid "Hi there"\nmsgstr "أهلًا"\n'])
def test_a_text_without_translation_is_found(write_kind, arabic):
    kind = write_kind({"body.txt": "{% if not name %}{% trans %}Hi\nthere{% endtrans %}{% endif %}"}, arabic=arabic)

    assert found(kind) == [(Rule.NOT_TRANSLATED, "ar: own/body.txt: 'Hi there'")]


def test_a_plural_without_translation_is_found(write_kind):
    kind = write_kind({"body.txt": '{{ ngettext("%(num)s day", "%(num)s days", 3) }}'})

    assert found(kind) == [(Rule.NOT_TRANSLATED, "ar: own/body.txt: '%(num)s day'")]


def test_a_text_whose_translation_reads_the_same_is_translated(write_kind):
    kind = write_kind({"body.txt": "{% trans %}IP{% endtrans %}"}, arabic='msgid "IP"\nmsgstr "IP"\n')

    assert found(kind) == []


def test_a_language_that_is_offered_needs_translations_too(write_kind, settings):
    settings.LANGUAGES = [*settings.LANGUAGES, ("fr", "Français")]

    kind = write_kind({"body.txt": "{% trans %}Hi{% endtrans %}"}, arabic='msgid "Hi"\nmsgstr "أهلًا"\n')

    assert found(kind) == [(Rule.NOT_TRANSLATED, "fr: own/body.txt: 'Hi'")]


# --- The check ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("parts", "identity", "complaint"),
    [
        ({"body.html": "{% if"}, "outbox.E001", "cannot be rendered"),
        ({"body.txt": None}, "outbox.E002", "has a part missing: body.txt"),
        ({"body.txt": "{{ city }}"}, "outbox.E001", "'city' is undefined"),
        ({"body.txt": "{% if not name %}{{ city }}{% endif %}"}, "outbox.E003", "does not declare: own/body.txt: city"),
        ({"body.txt": "{% trans %}Hi{% endtrans %}"}, "outbox.E004", "without translation: ar: own/body.txt: 'Hi'"),
    ],
)
def test_manage_py_check_fails_by_an_id_and_says_what_to_do(write_kind, parts, identity, complaint):
    write_kind(parts)

    problems = checks.every_kind_keeps_the_contract()
    assert {problem.id for problem in problems} == {identity}
    assert complaint in problems[0].msg
    assert problems[0].hint
    with pytest.raises(CommandError, match=identity):
        call_command("check")


def test_a_real_mail_without_its_arabic_fails_the_check(settings, tmp_path):
    shutil.copytree(Path(settings.LOCALE_PATHS[0]), tmp_path / "locale")
    (tmp_path / "locale/ar/LC_MESSAGES/django.mo").unlink()
    settings.LOCALE_PATHS = [tmp_path / "locale"]

    identities = {problem.id for problem in checks.every_kind_keeps_the_contract()}
    assert identities == {"outbox.E004"}
