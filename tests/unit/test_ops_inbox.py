from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ops.dev import pages
from ops.dev.mailbox import Mail, Mailbox

ATTACK = "\"><script>alert('x')</script>"


class Elements(HTMLParser):
    """The elements a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def received(folder: Path, raw: bytes) -> Mail:
    mailbox = Mailbox(folder)
    mailbox.add(sender="a@example.com", recipients=[f"{ATTACK}@example.com"], raw=raw)
    return mailbox.newest_first()[0]


def hostile(folder: Path) -> Mail:
    message = EmailMessage()
    message["From"] = f'"{ATTACK[2:]}" <a@example.com>'
    message["Subject"] = f"مرحبًا {ATTACK}"
    message.set_content(ATTACK)
    message.add_alternative(f"<p>{ATTACK}</p>", subtype="html")
    return received(folder, message.as_bytes())


@pytest.mark.parametrize("view", pages.VIEWS)
def test_nothing_in_a_mail_becomes_markup_of_the_page(tmp_path: Path, view: str) -> None:
    mail = hostile(tmp_path)

    elements = Elements(pages.inbox(mail, view)).found + Elements(pages.mail_list([mail], mail.id, view)).found

    assert "script" not in [tag for tag, _ in elements]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]


def test_the_html_of_a_mail_is_shown_whole_in_a_sandbox_that_allows_nothing(tmp_path: Path) -> None:
    mail = hostile(tmp_path)

    frames = [attributes for tag, attributes in Elements(pages.inbox(mail, "html")).found if "srcdoc" in attributes]

    assert [(frame["sandbox"], frame["srcdoc"]) for frame in frames] == [(None, mail.html)]
    assert "<script>" in mail.html


def test_an_arabic_subject_is_shown_in_letters(tmp_path: Path) -> None:
    mail = received(tmp_path, b"Subject: =?utf-8?b?2YXYsdit2KjZi9in?=\r\n\r\nx")

    assert mail.subject == "مرحبًا"
    assert "مرحبًا" in pages.inbox(mail, "text")


@pytest.mark.parametrize(
    ("raw", "subject", "text"),
    [
        (b"\xff\xfe no headers at all", "", "\ufffd\ufffd no headers at all"),
        (
            b"Subject: =?martian?q?x?=\r\nContent-Type: text/plain; charset=martian\r\n\r\nh\xc3\xa9",
            "=?martian?q?x?=",
            "hé",
        ),
        (b"Content-Type: multipart/mixed\r\n\r\nno parts", "", ""),
        (b"", "", ""),
    ],
)
def test_a_broken_mail_is_shown_as_far_as_it_can_be_read(tmp_path: Path, raw: bytes, subject: str, text: str) -> None:
    mail = received(tmp_path, raw)

    assert (mail.subject, mail.text, mail.html) == (subject, text, "")
    assert all(pages.inbox(mail, view) for view in pages.VIEWS)


def test_mails_come_newest_first_and_are_found_by_id(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    for subject in ("first", "second"):
        mailbox.add(sender="", recipients=["a@example.com"], raw=f"Subject: {subject}\r\n\r\n".encode())

    newest, oldest = mailbox.newest_first()

    assert (newest.subject, oldest.subject) == ("second", "first")
    assert mailbox.find(oldest.id) == oldest
    assert mailbox.find("../secret") is None
