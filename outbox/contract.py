"""What a kind and its templates owe each other: three parts, declared variables only, every text translated."""

import gettext
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils.translation import to_locale
from jinja2 import Environment, TemplateError, nodes
from jinja2.meta import find_referenced_templates, find_undeclared_variables

from outbox import rendering
from outbox.kinds import Kind

_PARTS = ("subject.txt", "body.txt", "body.html")
_WRITTEN_IN = "en"  # the language of the templates themselves
_NUMBERS = (0, 1, 2, 3, 11, 100)  # one for each form of plural that Arabic has, and so for those of every language


class Rule(Enum):
    """What can be broken."""

    PART_MISSING = auto()
    CANNOT_RENDER = auto()
    NOT_DECLARED = auto()
    NOT_TRANSLATED = auto()


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that a kind's templates break, and the words for it."""

    rule: Rule
    said: str


def breaches(kind: Kind) -> list[Breach]:
    """Everything that is wrong with the templates of this kind, also in branches that its sample does not reach."""
    environment = rendering.environment_for(_WRITTEN_IN)
    known = set(environment.list_templates(filter_func=lambda name: name.startswith(f"{kind.name}/")))
    missing = [part for part in _PARTS if f"{kind.name}/{part}" not in known]
    if missing:
        return [Breach(Rule.PART_MISSING, part) for part in missing]
    found = [breach for language in _languages() for breach in _breaches_in(kind, language)]
    return list(dict.fromkeys(found))  # most mistakes are the same in each language


def _languages() -> list[str]:
    return list(dict.fromkeys([_WRITTEN_IN, *(code for code, _ in settings.LANGUAGES)]))


def _breaches_in(kind: Kind, language: str) -> Iterator[Breach]:
    environment = rendering.environment_for(language)
    try:
        trees = dict(tree for part in _PARTS for tree in _trees(environment, f"{kind.name}/{part}", frozenset()))
        rendering.render(kind.name, language, kind.sample)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        yield Breach(Rule.CANNOT_RENDER, f"{language}: {type(error).__name__}: {error}")
        return
    catalogue = _catalogue(language)
    for name, tree in trees.items():
        for variable in sorted(_asked_for(tree) - kind.variables - kind.late):
            yield Breach(Rule.NOT_DECLARED, f"{name}: {variable}")
        for text in _untranslated(_source(environment, name), catalogue) if language != _WRITTEN_IN else ():
            yield Breach(Rule.NOT_TRANSLATED, f"{language}: {name}: {text!r}")


def _trees(environment: Environment, name: str, overridden: frozenset[str]) -> Iterator[tuple[str, nodes.Template]]:
    """This template and all that it extends, includes and imports; a block that a child replaces counts as empty."""
    tree = environment.parse(_source(environment, name), name)
    environment.get_template(name)  # compiling finds more: a filter or a field of the brand that does not exist
    blocks = list(tree.find_all(nodes.Block))
    replaced = overridden | {block.name for block in blocks if not _calls_super(block)}
    for block in blocks:
        if block.name in overridden:
            block.body = []
    yield name, tree
    parents = {node.template.value for node in tree.find_all(nodes.Extends) if isinstance(node.template, nodes.Const)}
    for other in filter(None, find_referenced_templates(tree)):
        yield from _trees(environment, other, replaced if other in parents else frozenset())


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101  (told to mypy; rendering sets one)
    return environment.loader.get_source(environment, name)[0]


def _calls_super(block: nodes.Block) -> bool:
    return any(call.node == nodes.Name("super", "load") for call in block.find_all(nodes.Call))


def _asked_for(tree: nodes.Template) -> set[str]:
    """What the template wants from the context.

    Jinja takes a name for undeclared, too, that is set or imported at the top and used in a block, or in a branch.
    """
    of_its_own: set[str] = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    for node in tree.find_all((nodes.Import, nodes.FromImport, nodes.Macro)):
        match node:
            case nodes.Import(target=name) | nodes.Macro(name=name):
                of_its_own.add(name)
            case nodes.FromImport(names=names):
                of_its_own |= {each if isinstance(each, str) else each[1] for each in names}
    return find_undeclared_variables(tree) - of_its_own


def _untranslated(source: str, catalogue: gettext.NullTranslations) -> Iterator[str]:
    for one, many in rendering.texts(source):
        found = [catalogue.ngettext(one, many, number) for number in _NUMBERS] if many else [catalogue.gettext(one)]
        if not all(found):
            yield one


class _Nothing(gettext.NullTranslations):
    """Says "" where a catalogue has no translation."""

    def gettext(self, message: str) -> str:
        return ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return ""


def _catalogue(language: str) -> gettext.NullTranslations:
    """The compiled texts of the project and its apps; those of Django itself were made for another place."""
    found: gettext.NullTranslations = _Nothing()
    for folder in (*settings.LOCALE_PATHS, *(Path(app.path) / "locale" for app in apps.get_app_configs())):
        catalogue = gettext.translation("django", folder, [to_locale(language)], fallback=True)
        catalogue.add_fallback(found)
        found = catalogue
    return found
