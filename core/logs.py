"""Structured logs: one JSON object a line in production, readable lines in a terminal."""

import logging
import re
from typing import Any

import structlog

# Anything that may be an address, or a login in front of a server's name; at most 64 letters before the @ (RFC 5321).
_ADDRESS = re.compile(r"([\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{0,63}@(?=[\w-]+\.[\w.-]*\w)")

# An address in a link, where the @ is written %40; escaped once more where a link stands in a link.
_IN_LINK = re.compile(r"([\w.+~!*'%-])[\w.+~!*'%-]{0,63}(%(?:25)*40)(?=[\w-]+\.[\w.-]*\w)")


def _mask_addresses(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Nobody's address is in a log, also where a provider's words or somebody's traceback quote it."""
    return {key: value if key == "exc_info" else without_addresses(value) for key, value in event.items()}


def without_addresses(value: object) -> object:
    """The value, with every address in its texts masked, however deep they lie."""
    match value:
        case str() if "@" in value or "%" in value:
            return _ADDRESS.sub(r"\1***@", _IN_LINK.sub(r"\1***\2", value))
        case dict():
            return {key: without_addresses(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [without_addresses(one) for one in value]
        case _:
            return value


def _without_request(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Django hands whole request objects to its loggers."""
    event.pop("request", None)
    return event


class _Line(str):
    """A whole line, ready to be written."""

    __slots__ = ()


def _finished(_logger: object, _name: str, line: Any) -> _Line:  # noqa: ANN401  (structlog types no last step)
    return _Line(line)


class Formatter(structlog.stdlib.ProcessorFormatter):
    """Gives other packages' records the form of ours, which were finished when they were made."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return record.msg if isinstance(record.msg, _Line) else super().format(record)


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    _without_request,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(*, readable: bool) -> dict[str, Any]:
    """The LOGGING setting; `readable` for people, otherwise JSON."""
    render: list[structlog.typing.Processor] = (
        [_mask_addresses, structlog.dev.ConsoleRenderer(colors=False)]
        if readable
        else [
            structlog.processors.format_exc_info,
            _mask_addresses,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    structlog.configure(
        processors=[*_SHARED, *render, _finished],  # once per mail: half the time of leaving it to the formatter
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": Formatter,
        "foreign_pre_chain": _SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Celery logs a line for each task received and done; the outbox logs what the task did.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            # Django's own handlers would write the same line once more.
            "django": {"handlers": [], "level": "INFO"},
            # It would repeat each request as a line of its own with the whole path.
            "django.server": {"level": "WARNING"},
        },
    }
