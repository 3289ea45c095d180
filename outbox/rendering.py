"""Template and context in; subject, text and HTML out, in the reader's language.

A mail is a folder `emails/<name>/` with subject.txt, body.txt and body.html, written once for all languages.
What stands in `{% trans %}…{% endtrans %}` is translated when the template is loaded, so constant texts cost
nothing per mail; a translation may hold expressions, `{{ name }}`, which are compiled with it.

Why Jinja2: a mail takes a sixth of what Django's engine takes (ops/benchmarks/render.py), for an extension may fold
translations in and the tree may be changed before it is compiled; and that tree also tells which variables a template
asks for, on which the contract of a kind rests. MiniJinja is twice as fast again, which nobody would notice: SMTP takes
a hundred times as long.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from threading import Lock

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.template import engines
from django.utils import translation
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateAssertionError,
    nodes,
    pass_eval_context,
    select_autoescape,
)
from jinja2.ext import Extension
from jinja2.nodes import EvalContext
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from outbox.brand import brand

_TRANS = re.compile(r"\{%-?\s*trans\s*-?%\}(?P<text>.*?)\{%-?\s*endtrans\s*-?%\}", re.DOTALL)
_NGETTEXT = re.compile(r'ngettext\(\s*"(?P<one>[^"]*)",\s*"(?P<many>[^"]*)"')
_EXPRESSION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
# Control characters, and the bidi controls with which a name could turn the text around it.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_TEXT_WIDTH = 72
_STAND_IN = "\0" * 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One mail: `subject` is one line, `language` the one really used."""

    subject: str
    text: str
    html: str
    language: str


def render(name: str, language: str, context: Mapping[str, object]) -> Rendered:
    """The mail `name` in the language, or in the nearest one there is.

    Raises:
        jinja2.TemplateError: a template is missing or wrong, or a variable is not in the context.
    """
    used = supported(language)
    find = _load if settings.DEBUG else _loaded  # in development a change of a template is seen at once
    subject, text, html = (template.render(context) for template in find(name, used))
    return Rendered(subject=_one_line(subject), text=text.strip() + "\n", html=html, language=used)


def _load(name: str, language: str) -> tuple[Template, ...]:
    environment = environment_for(language)
    found = tuple(environment.get_template(f"{name}/{part}") for part in ("subject.txt", "body.txt", "body.html"))
    for template in found:
        template.globals = dict(template.globals)  # copied for each mail, and the chain that Jinja makes copies slowly
    return found


_loaded = lru_cache(maxsize=256)(_load)


def supported(language: str) -> str:
    """The language itself, its base ("ar" for "ar-AE"), the site's, or English: the first that is offered."""
    offered = dict(settings.LANGUAGES)
    exact = language.replace("_", "-").lower()
    chain = (exact, exact.partition("-")[0], settings.LANGUAGE_CODE.partition("-")[0])
    return next((code for code in chain if code in offered), "en")


_building = Lock()


def environment_for(language: str) -> Environment:
    """The engine for one language; one per process, shared by all threads."""
    with _building:
        return _environment(language)


@cache
def _environment(language: str) -> Environment:
    right_to_left = language.partition("-")[0] in settings.LANGUAGES_BIDI
    folders = [Path(folder) / "emails" for engine in engines.all() for folder in engine.dirs]
    environment = FoldingEnvironment(
        loader=FileSystemLoader(folders),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=settings.DEBUG,
    )
    environment.globals = {  # none of Jinja's own: each costs time in every mail, and no mail needs one
        "brand": brand(),
        "language": language,
        "dir": "rtl" if right_to_left else "ltr",
        "ngettext": partial(_plural, language),
    }
    environment.filters["isolate"] = isolate
    environment.add_extension(TranslatedOnLoad)
    return environment


@receiver(setting_changed)
def _forget(*, setting: str, **_others: object) -> None:
    """Tests change settings; a process never does."""
    if setting in {"EMAIL_BRAND", "TEMPLATES", "LOCALE_PATHS"}:
        _environment.cache_clear()
        _loaded.cache_clear()
        _plural.cache_clear()


class FoldingEnvironment(Environment):
    """Compiles what is the same in every mail of a language (brand, language, dir) as constants.

    Jinja then folds what follows from them, choices by direction and escaping included: a third less time.
    """

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        return super()._generate(_Constants(self.globals, name).visit(source), name, filename, defer_init)


class _Constants(NodeTransformer):
    def __init__(self, known: Mapping[str, object], template: str | None) -> None:
        self._known, self._template = known, template

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802
        is_constant = node.ctx == "load" and node.name in ("language", "dir")
        return nodes.Const(self._known[node.name]) if is_constant else node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        if node.node != nodes.Name("brand", "load"):
            return self.generic_visit(node)
        if not hasattr(self._known["brand"], node.attr):
            raise TemplateAssertionError(f"the brand has no {node.attr!r}", node.lineno, self._template)
        return nodes.Const(getattr(self._known["brand"], node.attr))


class TranslatedOnLoad(Extension):
    """Puts the translation in the place of each `{% trans %}` block before the template is compiled."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source with its texts translated: escaped in HTML, filled to lines in text."""
        shape: Callable[[str, int], str] = _escaped if str(name).endswith(".html") else _filled

        def translated(block: re.Match[str]) -> str:
            column = block.start() - source.rfind("\n", 0, block.start()) - 1
            return shape(translation.gettext(_one_line(block["text"])), column)

        with translation.override(str(self.environment.globals["language"])):
            return _TRANS.sub(translated, source)


def _escaped(text: str, _column: int) -> str:
    pieces = _EXPRESSION.split(text)  # every second one is an expression
    return "".join(piece if index % 2 else escape(piece) for index, piece in enumerate(pieces))


def _filled(text: str, column: int) -> str:
    """Lines of 72 that go on under the column where they began; an expression counts 10 and stays whole."""
    indent = " " * column
    lines = textwrap.wrap(
        _EXPRESSION.sub(_STAND_IN, text),
        _TEXT_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    expressions = iter(_EXPRESSION.findall(text))
    return re.sub(_STAND_IN, lambda _: next(expressions), "\n".join(lines)[column:])


def texts(source: str) -> Iterator[tuple[str, str]]:
    """What a template asks the catalogue for, as translators see it: a text and "", or both forms of a plural."""
    for block in _TRANS.finditer(source):
        yield _one_line(block["text"]), ""
    for call in _NGETTEXT.finditer(source):
        yield call["one"], call["many"]


@lru_cache(maxsize=1024)
def _plural(language: str, one: str, many: str, number: int) -> str:
    """The form that fits the number: "60 minutes"; Arabic has six of them."""
    with translation.override(language):
        return translation.ngettext(one, many, number) % {"num": number}


@pass_eval_context
def isolate(context: EvalContext, value: object) -> str:
    """The value on one line, kept from mixing with the direction of the text around it; "" stays "".

    HTML gets `<bdi>`. Text gets isolates (Unicode annex 9), but not around ASCII in a left-to-right mail:
    they could do nothing but harm there. Never put it around a link or a code in text: mail programs take
    isolates as part of the link, and people copy them with the code. Those get a line of their own.
    """
    line = _one_line(str(value))
    if not line.isprintable():
        line = _one_line(_HIDDEN.sub("", line))
    if line and context.autoescape:
        return Markup("<bdi>") + line + Markup("</bdi>")  # five times as fast as format
    if not line or (line.isascii() and context.environment.globals["dir"] == "ltr"):
        return line
    return f"{_FIRST_STRONG_ISOLATE}{line}{_POP_ISOLATE}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
