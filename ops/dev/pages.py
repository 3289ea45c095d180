"""The pages of the inbox. Nothing in a mail is trusted: all is escaped, and its HTML is kept in a sandbox."""

from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from ops.dev.mailbox import Mail

# Scripts, forms and everything remote are off for our pages and, by inheritance, for the mails in them.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
VIEWS = {"html": "HTML", "text": "Text", "source": "Source"}

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --dim: #888; --accent: #2563eb; --on: #2563eb18; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif; }
a { color: inherit; text-decoration: none; }
.split { display: grid; grid-template-columns: minmax(16rem, 24rem) 1fr; height: 100vh; }
.split > iframe { border: 0; border-inline-end: 1px solid var(--line); width: 100%; height: 100%; }
main { display: flex; flex-direction: column; min-width: 0; height: 100vh; }
header { padding: 1rem 1.25rem .75rem; border-bottom: 1px solid var(--line); }
h1 { margin: 0 0 .35rem; font-size: 1.2rem; overflow-wrap: anywhere; }
h2 { margin: 0; padding: .8rem 1rem; font-size: .95rem; border-bottom: 1px solid var(--line); }
.dim { color: var(--dim); font-size: .85rem; overflow-wrap: anywhere; }
nav { display: flex; gap: .25rem; margin-top: .7rem; }
nav a { padding: .2rem .8rem; border: 1px solid var(--line); border-radius: 99px; font-size: .85rem; }
nav a.on { background: var(--accent); border-color: var(--accent); color: #fff; }
main > iframe { flex: 1; width: 100%; border: 0; background: #fff; }
pre { flex: 1; margin: 0; padding: 1.25rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.item { display: block; padding: .65rem 1rem; border-bottom: 1px solid var(--line); }
.item:hover, .item.on { background: var(--on); }
.item b { display: block; font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.empty { margin: auto; color: var(--dim); text-align: center; padding: 2rem; }
"""


def _page(title: str, body: str, *, refresh: bool = False) -> str:
    again = '<meta http-equiv="refresh" content="2">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def inbox(mail: Mail | None, view: str) -> str:
    """The whole page: the list, which renews itself in a frame of its own, and the chosen mail."""
    chosen = quote(mail.id) if mail else ""
    shown = _mail(mail, view) if mail else '<p class="empty">Mails appear in the list as they arrive.</p>'
    frame = f'<iframe src="/list?mail={chosen}&amp;view={view}" title="Mails"></iframe>'
    return _page(mail.subject if mail else "Inbox", f'<div class="split">{frame}<main>{shown}</main></div>')


def mail_list(mails: list[Mail], chosen: str, view: str) -> str:
    """What stands in the frame of the list, newest first."""
    items = "".join(_item(mail, view, is_chosen=mail.id == chosen) for mail in mails)
    heading = f"<h2>Inbox <span class=dim>{len(mails)}</span></h2>"
    return _page("Mails", heading + (items or '<p class="empty">No mail yet.</p>'), refresh=True)


def _item(mail: Mail, view: str, *, is_chosen: bool) -> str:
    return (
        f'<a class="item{" on" if is_chosen else ""}" target="_top" href="{_address(mail, view)}">'
        f'<b dir="auto">{escape(mail.subject) or "(no subject)"}</b>'
        f'<span class="dim">{_time(mail.received)} · {escape(", ".join(mail.recipients))}</span></a>'
    )


def _mail(mail: Mail, view: str) -> str:
    facts = f"From {mail.header('From') or mail.sender} to {', '.join(mail.recipients)}, {_time(mail.received)}"
    tabs = "".join(
        f'<a class="{"on" if name == view else ""}" href="{_address(mail, name)}">{label}</a>'
        for name, label in VIEWS.items()
    )
    heading = f'<h1 dir="auto">{escape(mail.subject) or "(no subject)"}</h1><div class="dim">{escape(facts)}</div>'
    return f"<header>{heading}<nav>{tabs}</nav></header>{_content(mail, view)}"


def _content(mail: Mail, view: str) -> str:
    if view == "html" and mail.html:
        return f'<iframe sandbox srcdoc="{escape(mail.html)}" title="Mail"></iframe>'
    shown = mail.source if view == "source" else mail.text
    direction = "ltr" if view == "source" else "auto"
    return f'<pre dir="{direction}">{escape(shown) or "(this mail has no such part)"}</pre>'


def _address(mail: Mail, view: str) -> str:
    return f"/?mail={quote(mail.id)}&amp;view={view}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M:%S UTC")
