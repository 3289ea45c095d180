"""The mail that all of them send: ours as Django templates, rendered and built the way Django's manual shows."""

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from ops.benchmarks.rivals.settings import BRAND


def context(name: str) -> dict[str, object]:
    """What the templates need."""
    return {"name": name, "brand": BRAND, "language": "en", "dir": "ltr"}


def build(to: str, name: str) -> EmailMultiAlternatives:
    """Render the three parts and put them together."""
    values = context(name)
    subject = render_to_string("subject.txt", values).strip()
    message = EmailMultiAlternatives(subject, render_to_string("body.txt", values), to=[to])
    message.attach_alternative(render_to_string("body.html", values), "text/html")
    return message
