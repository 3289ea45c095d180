"""Every mail in a real browser: each kind in each language, light and dark, narrow, wide and enlarged.

The pictures lie in pytest's folder for temporary files (--basetemp=DIR puts them where one wants them).
"""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings as site
from playwright.sync_api import Browser, Page, Request, sync_playwright

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import kinds, previews, sandbox

pytestmark = pytest.mark.browser
KINDS = ("account_exists", "password_changed", "reset_code", "welcome")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SCHEMES = ("light", "dark")
WIDTHS = {"320": 320, "600": 600, "600 at 200 %": 300, "320 at 200 %": 160}  # what is left of a window when zoomed
every_kind = pytest.mark.parametrize("kind", KINDS)
every_language = pytest.mark.parametrize("language", ["en", "ar"])
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
every_width = pytest.mark.parametrize("width", WIDTHS)
GREY = re.compile(r"rgb\((\d+), (\d+), (\d+)\)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: install one (on Debian: apt install chromium fonts-noto-core)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(browser: Browser) -> dict[str, Page]:
    """One page for light and one for dark: opening them is what takes time."""
    return {
        "light": browser.new_page(device_scale_factor=2, color_scheme="light"),
        "dark": browser.new_page(device_scale_factor=2, color_scheme="dark"),
    }


@pytest.fixture
def show(pages: dict[str, Page]) -> Callable[..., Page]:
    """A mail, shown as told."""

    def show(kind: str, language: str, scheme: str = "light", width: str = "600") -> Page:
        page = pages[scheme]
        page.set_viewport_size({"width": WIDTHS[width], "height": 800})
        page.set_content(previews.build(kind, language).rendered.html)
        return page

    return show


@every_kind
@every_language
@every_scheme
@every_width
def test_nothing_reaches_over_the_edge_and_no_word_is_broken_to_prevent_it(
    show, kind, language, scheme, width, tmp_path
):
    page = show(kind, language, scheme, width)
    page.screenshot(path=tmp_path / f"{kind}.{language}.{scheme}.{WIDTHS[width]}.png", full_page=True)

    beyond = page.evaluate(
        """() => [...document.body.querySelectorAll('*')].filter(element => {
            const box = element.getBoundingClientRect();
            return box.width && (box.left < -0.5 || box.right > innerWidth + 0.5);
        }).map(element => element.outerHTML.slice(0, 80))"""
    )
    assert beyond == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert page.evaluate(BROKEN_WORDS) == []


@every_kind
@every_language
@every_scheme
def test_every_word_stands_out_from_its_background(show, kind, language, scheme):
    page = show(kind, language, scheme)

    pale = [text for text, ratio, least in page.evaluate(CONTRASTS) if ratio < least]
    assert pale == []


@every_kind
@every_language
def test_dark_is_dark_and_light_is_light(show, kind, language):
    colour = "getComputedStyle(document.querySelector('.page')).backgroundColor"

    light, dark = (show(kind, language, scheme).evaluate(colour) for scheme in SCHEMES)
    assert (brightness(light) > 220, brightness(dark) < 40) == (True, True)


@every_kind
@every_language
def test_no_letter_is_too_small_to_read(show, kind, language):
    sizes = show(kind, language, width="320").evaluate(
        """() => [...document.body.querySelectorAll('*')].filter(element => element.offsetParent)
            .map(element => parseFloat(getComputedStyle(element).fontSize))"""
    )

    assert min(sizes) >= 14


@every_kind
@every_language
def test_what_is_to_be_clicked_is_large_enough_for_a_finger(show, kind, language):
    page = show(kind, language, width="320")

    heights = page.evaluate("[...document.querySelectorAll('td > a')].map(link => link.getBoundingClientRect().height)")
    assert [height for height in heights if height < 44] == []
    assert len(heights) == (0 if kind == "reset_code" else 1)  # there the code is what one acts on


@every_kind
@every_language
def test_words_are_filled_in_and_in_one_language(show, kind, language):
    seen = show(kind, language).evaluate("document.body.innerText")

    assert not re.search(r"\{\{|\}\}|\{%|%\}|%\(|undefined|None", seen)
    if language == "ar":
        filled_in = " ".join(map(str, (*kinds.get(kind).sample.values(), *site.EMAIL_BRAND.values())))
        assert set(re.findall(r"[A-Za-z]+", seen)) <= {
            *re.findall(r"[A-Za-z]+", filled_in),
            "IP",
            site.EMAIL_BRAND["name"][0],
        }
    else:
        assert not re.search(r"[\u0600-\u06ff]", seen)


@every_kind
@pytest.mark.parametrize(("language", "side"), [("en", "left"), ("ar", "right")])
def test_lines_begin_at_the_side_where_the_language_begins(show, kind, language, side):
    page = show(kind, language)

    gaps = page.evaluate(
        """() => [...document.querySelectorAll('.inner h1, .inner > p')].map(element => {
            const range = document.createRange();
            range.selectNodeContents(element);
            const words = range.getBoundingClientRect(), box = element.getBoundingClientRect();
            return {left: words.left - box.left, right: box.right - words.right};
        })"""
    )
    assert len(gaps) >= 3
    assert [gap for gap in gaps if gap[side] > 1] == []


@every_language
@every_scheme
@every_width
def test_the_code_is_seen_whole_on_one_line_and_reads_from_left_to_right(show, language, scheme, width):
    page = show("reset_code", language, scheme, width)

    digits = page.evaluate(DIGITS)
    assert "".join(digit["text"] for digit in digits) == "042137"
    assert [digit["left"] for digit in digits] == sorted(digit["left"] for digit in digits)
    assert len({digit["top"] for digit in digits}) == 1
    assert [digit["text"] for digit in digits if not digit["on_top"]] == []
    assert digits[0]["left"] >= 0
    assert digits[-1]["right"] <= WIDTHS[width]


@every_language
def test_the_code_is_selected_whole_and_copied_without_anything_beside_it(show, language):
    page = show("reset_code", language)

    page.get_by_text("042137", exact=True).click()

    assert page.evaluate("getSelection().toString()") == "042137"


@every_language
@every_scheme
@every_width
def test_the_banner_of_the_sandbox_leaves_the_mail_as_wide_as_it_is(show, language, scheme, width):
    page = show("welcome", language, scheme, width)

    page.set_content(sandbox.marked_html(page.content(), f"{'somebody.' * 6}somebody@a-long-name-of-a-domain.example"))

    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert [text for text, ratio, least in page.evaluate(CONTRASTS) if ratio < least] == []


@every_kind
@every_language
def test_nothing_is_fetched(pages, show, kind, language):
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    pages["light"].on("request", note)
    show(kind, language)
    pages["light"].remove_listener("request", note)

    assert asked == []


def brightness(colour: str) -> float:
    found = GREY.fullmatch(colour)
    assert found, colour
    return sum(map(int, found.groups())) / 3


# Each digit of the code: where it is, and whether anything covers it.
DIGITS = """() => {
    const code = [...document.querySelectorAll('bdi')].find(element => element.textContent === '042137');
    code.scrollIntoView({block: 'center'});
    const text = code.firstChild;
    return [...text.data].map((digit, at) => {
        const range = document.createRange();
        range.setStart(text, at);
        range.setEnd(text, at + 1);
        const box = range.getBoundingClientRect();
        const front = document.elementFromPoint(box.left + box.width / 3, box.top + box.height / 2);
        return {text: digit, left: box.left, right: box.right, top: box.top, on_top: front === code};
    });
}"""
# Words that begin on one line and end on another; links and addresses may.
BROKEN_WORDS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (!text.parentElement.offsetParent || /[@:]\\S/.test(text.data)) continue;
        for (const word of text.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(word[0]);
        }
    }
    return found;
}"""
# Every visible text: its words, the contrast with what is behind it, and the least that WCAG AA asks for its size.
CONTRASTS = """() => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = parts(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, style = getComputedStyle(element);
        if (!walker.currentNode.data.trim() || !element.offsetParent) continue;
        const [dark, light] = [luminance(parts(style.color)), luminance(behind(element))].sort((a, b) => a - b);
        const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        found.push([walker.currentNode.data.trim(), (light + 0.05) / (dark + 0.05), large ? 3 : 4.5]);
    }
    return found;
}"""
