"""What every answer holds: `status`, a sentence in both languages, and `message` in the caller's."""

from collections.abc import Mapping
from typing import Literal

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework.request import Request

from auth_api.models import Language
from auth_api.texts import Text

Status = Literal["success", "error"]


def body(status: Status, text: Text, language: str, **facts: object) -> dict[str, object]:
    """The body of an answer; `facts` are what this one adds."""
    return {"status": status, "message": text.said_in(language), "en": text.en, "ar": text.ar, **facts}


def language_of(request: HttpRequest | Request, data: object = None) -> str:
    """The language the caller wants: what the body names, else Accept-Language, else English."""
    named = data.get("language") if isinstance(data, Mapping) else None
    wanted = [named, *_accepted(str(request.META.get("HTTP_ACCEPT_LANGUAGE", "")))]
    return next((str(language) for language in wanted if language in Language.values), Language.EN.value)


def _accepted(header: str) -> list[str]:
    """The base languages of the header, most wanted first: "ar" for "ar-AE"."""
    return [tag.partition("-")[0] for tag, quality in parse_accept_lang_header(header.lower()) if quality]
