"""What ties a mail to the request that asked for it: stored on the intent, and taken up by whoever works on it.

The medium is structlog's context variables: whoever serves a request binds its id and its W3C trace context there.
"""

from structlog.contextvars import get_contextvars

_CARRIED = ("request_id", "traceparent", "tracestate")
_LONGEST = 512  # letters; what the standard asks of everybody to pass on


def carried() -> dict[str, str]:
    """The names that are bound just now, to be stored; empty outside of a request."""
    bound = get_contextvars()
    return {name: str(bound[name])[:_LONGEST] for name in _CARRIED if bound.get(name)}
