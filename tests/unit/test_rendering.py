"""Templates and context in; subject, text and HTML out, in two languages."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import html5lib
import jinja2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import translation
from jinja2 import meta

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import kinds, rendering
from outbox.brand import brand

LANGUAGES = ("en", "ar")
KINDS = ("account_exists", "password_changed", "reset_code", "welcome")
ISOLATED = "\u2068{}\u2069"
every_kind = pytest.mark.parametrize("kind", KINDS)
every_language = pytest.mark.parametrize("language", LANGUAGES)


def render(kind, language, **changes):
    return rendering.render(kind, language, {**kinds.get(kind).sample, **changes})


class Page(HTMLParser):
    """What a reader and a mail program see of an HTML mail: elements, links, words."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.links, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        if self.cdata_elem is None:  # a style sheet is not read by people
            self.words.append(data)

    def attributes_of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


# --- What every mail keeps ------------------------------------------------------------------------------------
def test_there_is_a_folder_for_each_kind_and_a_kind_for_each_folder(emails):
    folders = {folder.name for folder in emails.iterdir() if folder.is_dir()}

    assert folders == set(kinds.names()) == set(KINDS)


@every_kind
@every_language
def test_a_mail_has_a_subject_a_text_and_a_page_in_the_language_asked_for(kind, language):
    mail = render(kind, language)

    assert mail.language == language
    assert mail.subject
    assert mail.text.endswith("\n")
    assert mail.html.startswith("<!doctype html>")


@every_kind
@every_language
def test_nothing_of_the_template_language_is_left_in_a_mail(kind, language):
    mail = render(kind, language)

    for part in (mail.subject, mail.text, mail.html):
        assert not re.search(r"\{\{|\}\}|\{%|%\}|%\(|\0|None|Undefined", part)


@every_kind
@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("ar", "rtl")])
def test_the_page_says_its_language_and_direction_at_its_root(kind, language, direction):
    page = Page(render(kind, language).html)

    assert page.attributes_of("html") == [{"lang": language, "dir": direction}]


@every_kind
@every_language
def test_layout_tables_are_said_to_be_layout_and_every_mail_has_one_first_heading(kind, language):
    page = Page(render(kind, language).html)

    tables = page.attributes_of("table")
    assert [table for table in tables if table.get("role") != "presentation" and table.get("class") != "well"] == []
    assert len(page.attributes_of("h1")) == 1


@every_kind
@every_language
def test_a_page_has_no_error_for_an_html5_parser(kind, language):
    html5lib.HTMLParser(strict=True).parse(render(kind, language).html)


@every_kind
@every_language
def test_the_text_holds_every_link_of_the_page_on_a_line_of_its_own(kind, language):
    mail = render(kind, language)

    lines = {line.strip() for line in mail.text.splitlines()}
    assert {link.removeprefix("mailto:") for link in Page(mail.html).links} <= lines


@every_kind
@every_language
def test_the_text_holds_every_fact_of_the_page(kind, language):
    known = kinds.get(kind)
    facts = {name: f"fact-{name}" for name in (known.variables | known.late) - {"request", "minutes"}}

    mail = render(kind, language, **facts)

    for fact in facts.values():
        assert fact in mail.text
        assert fact in mail.html


@every_kind
@every_language
def test_a_mail_fetches_nothing_and_all_its_links_are_absolute(kind, language):
    page = Page(render(kind, language).html)

    assert not {"img", "link", "script", "iframe"} & {tag for tag, _ in page.elements}
    assert [link for link in page.links if not link.startswith(("https://", "mailto:"))] == []


@every_kind
@every_language
def test_pages_are_small_and_no_line_is_too_long_for_smtp(kind, language):
    mail = render(kind, language)

    assert len(mail.html.encode()) < 20_000
    assert max(len(line.encode()) for line in mail.html.splitlines()) <= 998


@every_kind
@every_language
def test_lines_of_the_text_fit_a_terminal(kind, language):
    assert max(map(len, render(kind, language).text.splitlines())) < 78


@every_kind
def test_an_english_mail_to_an_english_name_is_plain_ascii(kind):
    mail = render(kind, "en")

    assert (mail.subject + mail.text + mail.html).isascii()


@every_kind
def test_an_arabic_mail_has_no_english_sentence_in_it(kind):
    mail = render(kind, "ar", name="")

    words = " ".join(Page(mail.html).words) + mail.text + mail.subject
    assert not re.search(r"\b(the|you|your|account|password|code)\b", words.replace("example.com", ""))


# --- Names and other values -----------------------------------------------------------------------------------
@every_kind
@every_language
def test_a_name_that_is_markup_is_shown_as_it_was_typed(kind, language):
    mail = render(kind, language, name="<script>alert(1)</script>")

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in mail.html
    assert Page(mail.html).attributes_of("script") == []
    assert "<script>alert(1)</script>" in mail.text


@every_kind
@every_language
@pytest.mark.parametrize("name", ["", "   ", "\r\n", "\u202e"])
def test_somebody_without_a_name_is_greeted_without_one(kind, language, name):
    mail = render(kind, language, name=name)

    assert {"en": "\nHello,\n", "ar": "\nمرحبًا،\n"}[language] in mail.text


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Layla\r\nBcc: x@example.com", "Layla Bcc: x@example.com"),
        ("Layla\x00\x1b[1m\tHaddad", "Layla[1m Haddad"),
        ("Layla \u202e\u2069 Haddad", "Layla Haddad"),
        ("Layla\u2028Haddad", "Layla Haddad"),
        ("\"L\" & 'H' {{ 7 * 7 }} %(x)s", "\"L\" & 'H' {{ 7 * 7 }} %(x)s"),
    ],
)
def test_a_name_stays_on_its_line_and_turns_nothing_around_it(typed, shown):
    assert f"\nHello {shown},\n" in render("welcome", "en", name=typed).text


@pytest.mark.parametrize("name", ["ليلى حداد", "דנה", "Zoë", "👩\u200d💻", "李"])
def test_a_name_in_another_script_is_kept_apart_from_the_text_around_it(name):
    mail = render("welcome", "en", name=name)

    assert f"\nHello {ISOLATED.format(name)},\n" in mail.text
    assert f"Hello <bdi>{name}</bdi>," in mail.html


def test_a_latin_name_is_kept_apart_in_an_arabic_mail():
    mail = render("welcome", "ar", name="Layla (QA)")

    assert f"\nمرحبًا {ISOLATED.format('Layla (QA)')}،\n" in mail.text
    assert "مرحبًا <bdi>Layla (QA)</bdi>،" in mail.html


def test_a_plain_english_text_has_no_invisible_characters():
    assert not set("\u2068\u2069") & set(render("password_changed", "en").text)


@every_kind
@every_language
def test_a_subject_is_one_line(kind, language, settings):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "name": "Two\r\n\u2028 Lines"}

    assert render(kind, language).subject.splitlines() == [render(kind, language).subject]
    assert "Two Lines" in render(kind, language).subject


def test_line_breaks_in_a_subject_template_become_single_spaces(write_mail):
    name = write_mail(subject_txt="\n  One\n\n  {{ word }}\n")

    assert rendering.render(name, "en", {"word": "two\nthree"}).subject == "One two three"


# --- Each kind ------------------------------------------------------------------------------------------------
@every_language
def test_the_code_stands_in_text_and_page_as_it_is_and_reads_from_left_to_right(language):
    mail = render("reset_code", language, code="042137")

    assert "    042137" in mail.text.splitlines()
    assert re.search(r'<bdi class="code" dir="ltr" style="[^"]*white-space:nowrap[^"]*">042137</bdi>', mail.html)


@every_language
def test_the_code_is_neither_in_the_subject_nor_in_the_line_that_lists_show(language):
    mail = render("reset_code", language, code="042137")

    assert "042137" not in mail.subject
    assert mail.html.count("042137") == 1


@pytest.mark.parametrize(
    ("language", "minutes", "words"),
    [
        ("en", 1, "valid for 1 minute and"),
        ("en", 60, "valid for 60 minutes and"),
        ("ar", 1, "لمدة دقيقة واحدة،"),
        ("ar", 2, "لمدة دقيقتين،"),
        ("ar", 5, "لمدة 5 دقائق،"),
        ("ar", 60, "لمدة 60 دقيقة،"),
        ("ar", 100, "لمدة 100 دقيقة،"),
    ],
)
def test_minutes_are_counted_the_way_the_language_counts(language, minutes, words):
    mail = render("reset_code", language, minutes=minutes)

    assert words in mail.text
    assert words in mail.html


@every_language
def test_an_unknown_client_is_not_mentioned(language):
    mail = render("password_changed", language, client="")

    assert "IP" not in mail.text
    assert "IP" not in " ".join(Page(mail.html).words)


def test_an_address_of_the_network_keeps_its_order_in_arabic():
    mail = render("password_changed", "ar", client="2001:db8::1")

    assert f"عنوان IP: {ISOLATED.format('2001:db8::1')}\n" in mail.text
    assert "<bdi>2001:db8::1</bdi>" in mail.html


# --- Languages ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("ar", "ar"),
        ("AR", "ar"),
        ("ar-AE", "ar"),
        ("ar_AE.UTF-8", "ar"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("xx", "en"),
        ("", "en"),
        ("-", "en"),
        ("../ar", "en"),
    ],
)
def test_an_unknown_language_falls_back_to_the_nearest_there_is(asked, used):
    assert render("welcome", asked).language == used


def test_an_unknown_language_falls_back_to_the_site_s_before_english(settings):
    settings.LANGUAGE_CODE = "ar-ae"

    assert render("welcome", "fr").language == "ar"


def test_a_site_without_a_usable_language_writes_english(settings):
    settings.LANGUAGES, settings.LANGUAGE_CODE = [("de", "Deutsch")], "fr"

    assert render("welcome", "fr").language == "en"


def test_eight_threads_render_two_languages_without_mixing_them():
    rendering._environment.cache_clear()  # so that they also race for building and compiling
    asked = [(kind, language) for kind in KINDS for language in LANGUAGES] * 40
    with ThreadPoolExecutor(8) as pool:
        rendered = list(pool.map(lambda mail: render(*mail), asked))

    assert rendered == [render(*mail) for mail in asked]
    assert Counter(mail.language for mail in rendered) == {"en": 160, "ar": 160}


@pytest.mark.parametrize("active", ["en", "ar", "fr"])
def test_the_language_of_the_request_neither_enters_a_mail_nor_is_changed_by_one(active):
    wanted = {language: render("reset_code", language) for language in LANGUAGES}
    rendering._environment.cache_clear()
    rendering._plural.cache_clear()

    with translation.override(active):
        assert {language: render("reset_code", language) for language in LANGUAGES} == wanted
        assert translation.get_language() == active


def test_languages_that_nobody_offers_build_no_engines():
    for number in range(100):
        render("welcome", f"x{number}-{number}")

    assert rendering._environment.cache_info().currsize <= len(LANGUAGES)


# --- Mistakes in templates ------------------------------------------------------------------------------------
@every_kind
@every_language
def test_a_variable_that_is_missing_is_an_error(kind, language):
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        rendering.render(kind, language, {})


def test_a_mail_without_a_folder_is_an_error():
    with pytest.raises(jinja2.TemplateNotFound, match=r"no_such_mail/subject\.txt"):
        rendering.render("no_such_mail", "en", {})


@pytest.mark.parametrize("body", ["{% trans %}never closed", "{{ brand.colour", "{% nonsense %}", "{{ brand.nmae }}"])
def test_a_wrong_template_is_an_error(write_mail, body):
    name = write_mail(body_html=body)

    with pytest.raises(jinja2.TemplateError):
        rendering.render(name, "en", {})


@pytest.mark.parametrize("name", ["../welcome", "welcome/..", "/etc"])
def test_a_name_cannot_lead_out_of_the_templates(name):
    with pytest.raises(jinja2.TemplateNotFound):
        rendering.render(name, "en", {})


@every_kind
def test_templates_use_declared_variables_only(kind, emails):
    environment, declared = rendering.environment_for("en"), kinds.get(kind).variables | kinds.get(kind).late
    own = [*(emails / kind).iterdir(), emails / "layout.html", emails / "layout.txt", emails / "parts.html"]

    for file in own:
        source = environment.parse(file.read_text(encoding="utf-8"), str(file))
        assert meta.find_undeclared_variables(source) <= declared | {"name"}, file


# --- The brand ------------------------------------------------------------------------------------------------
@every_language
def test_the_brand_stands_in_every_part(settings, language):
    settings.EMAIL_BRAND = {
        "name": "Souk & Sons",
        "url": "https://souk.example",
        "support": "help@souk.example",
        "address": "1 Creek Road, Dubai",
        "colour": "#0f6e84",
    }

    mail = render("welcome", language)

    assert "Souk & Sons" in mail.subject
    assert {"https://souk.example", "help@souk.example", "1 Creek Road, Dubai"} <= set(mail.text.splitlines())
    for fact in ("Souk &amp; Sons", "https://souk.example", "help@souk.example", "1 Creek Road, Dubai", "#0f6e84"):
        assert fact in mail.html


def test_a_brand_without_a_postal_address_leaves_no_gap(settings):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "url": "https://souk.example", "address": ""}

    assert "https://souk.example\n\nQuestions?" in render("welcome", "en").text


@pytest.mark.parametrize(("colour", "on_it"), [("#1d4ed8", "#ffffff"), ("#ffd400", "#000000"), ("#767676", "#ffffff")])
def test_words_on_the_brand_s_colour_are_black_or_white_whichever_reads_well(settings, colour, on_it):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "colour": colour}

    assert brand().on_colour == on_it


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": "blue"}, "colour 'blue' is not of the form"),
        ({"color": "#000000"}, "'color'"),
        ({"url": "souk.example"}, "url 'souk.example' is not a link"),
        ({"url": "javascript:alert(1)"}, "url 'javascript"),
        ({"url": ""}, "url '' is not a link"),
        ({"logo": "logo.png"}, "logo 'logo.png' is not a link"),
    ],
)
def test_a_brand_that_cannot_be_used_is_refused_by_name(settings, change, complaint):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, **change}

    with pytest.raises(ImproperlyConfigured, match=f"EMAIL_BRAND: .*{complaint}"):
        brand()


@every_language
def test_a_logo_takes_the_place_of_the_letter_and_says_nothing_twice(settings, language):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "logo": "https://souk.example/logo.png"}

    page = Page(render("welcome", language).html)

    [logo] = page.attributes_of("img")
    assert (logo["src"], logo["alt"]) == ("https://souk.example/logo.png", "")
    assert "A" not in [word.strip() for word in page.words]
