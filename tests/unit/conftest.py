"""How Hypothesis runs here, and the mails of the tests that read or write templates."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("unit")


@pytest.fixture
def emails(settings):
    return Path(settings.TEMPLATES[0]["DIRS"][0]) / "emails"


@pytest.fixture
def write_mail(settings, tmp_path):
    """A mail of one's own: its parts in, its name out."""

    def write(**parts):
        folder = tmp_path / "emails" / "own"
        folder.mkdir(parents=True)
        for file in ("subject.txt", "body.txt", "body.html"):
            (folder / file).write_text(parts.get(file.replace(".", "_"), "x"), encoding="utf-8")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        return "own"

    return write
