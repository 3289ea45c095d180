"""An SMTP server that delivers to a folder, and the web page that shows it; each a process of its own."""

import argparse
import asyncio
import json
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session

from ops.dev import pages
from ops.dev.child import Child, Order
from ops.dev.mailbox import Mail, Mailbox
from ops.dev.place import HOST, clean_environment
from ops.dev.services import Server


class _Part(Server):
    """One of the two; `python -m ops.dev.inbox` runs it."""

    word: str

    def __init__(self, folder: Path, logs: Path) -> None:
        super().__init__()
        self._folder, self._logs = folder, logs

    def _make_child(self) -> Child:
        words = [self.word, "--port", str(self.port), "--folder", str(self._folder)]
        order = Order(
            argv=[sys.executable, "-m", "ops.dev.inbox", *words],
            env=clean_environment(),
            log=self._logs / f"inbox-{self.word}.log",
            patience=3,
        )
        return Child(order)


class SmtpInbox(_Part):
    """The provider: accepts every mail. Stopped and started again it listens on the same port."""

    name, word = "SMTP inbox", "smtp"

    def _is_ready(self) -> bool:
        return asyncio.run(_greets(self.port))


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        greeting = await asyncio.wait_for(reader.readline(), 2)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return greeting.startswith(b"220")


class InboxPage(_Part):
    """The web page over the same folder."""

    name, word = "inbox page", "web"

    @property
    def url(self) -> str:
        """Where to look."""
        return f"http://{HOST}:{self.port}/"

    def messages(self) -> list[dict[str, Any]]:
        """What `/api/messages` says: every mail, newest first."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}api/messages", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def _is_ready(self) -> bool:
        try:
            self.messages()
        except (OSError, ValueError):  # URLError is an OSError
            return False
        return True


class _Receiver:
    """What aiosmtpd calls with each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        self._mailbox.add(sender=envelope.mail_from or "", recipients=list(envelope.rcpt_tos), raw=raw)
        return "250 2.0.0 OK: kept"


async def _serve_smtp(port: int, folder: Path) -> None:
    receiver = _Receiver(Mailbox(folder))
    # Without a name of its own aiosmtpd asks the resolver for one, which may take seconds.
    make = lambda: SMTP(receiver, hostname="inbox.localhost", enable_SMTPUTF8=True)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, HOST, port)
    await server.serve_forever()


class _Page(BaseHTTPRequestHandler):
    """Answers GET for the page, its list and the JSON; to nobody who came by another name than ours."""

    mailbox: Mailbox
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in {
            HOST,
            "localhost",
        }:  # a page elsewhere whose name was pointed at us must not read mails
            return self._answer(HTTPStatus.FORBIDDEN, "text/plain", "Not under this name.")
        address = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
        view = asked.get("view", "") if asked.get("view") in pages.VIEWS else "html"
        mail = self.mailbox.find(asked.get("mail", ""))
        if address.path == "/":
            return self._answer(HTTPStatus.OK, "text/html", pages.inbox(mail, view))
        if address.path == "/list":
            listed = pages.mail_list(self.mailbox.newest_first(), asked.get("mail", ""), view)
            return self._answer(HTTPStatus.OK, "text/html", listed)
        if address.path == "/api/messages":
            found = json.dumps([_as_json(mail) for mail in self.mailbox.newest_first()], ensure_ascii=False)
            return self._answer(HTTPStatus.OK, "application/json", found)
        return self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is no such page.")

    def _answer(self, code: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(code)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", pages.POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the list asks every two seconds."""


def _as_json(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received": mail.received.isoformat(),
        "from": mail.sender,
        "to": mail.recipients,
        "subject": mail.subject,
        "message_id": mail.header("Message-ID"),
        "text": mail.text,
        "html": mail.html,
    }


def _serve_web(port: int, folder: Path) -> None:
    _Page.mailbox = Mailbox(folder)
    with ThreadingHTTPServer((HOST, port), _Page) as server:
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ops.dev.inbox", description=__doc__)
    parser.add_argument("part", choices=("smtp", "web"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.part == "smtp":
        asyncio.run(_serve_smtp(chosen.port, chosen.folder))
    else:
        _serve_web(chosen.port, chosen.folder)


if __name__ == "__main__":
    main()
