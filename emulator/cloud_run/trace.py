"""The trace that Cloud Run's front end assigns to a request, which the request's log lines include."""

from hashlib import sha256


def trace_id(webhook_id: str) -> str:
    """Return the trace of a callout: the same for its retries, so that their log lines can be found."""
    return sha256(webhook_id.encode()).hexdigest()[:32]


def traceparent(webhook_id: str) -> str:
    """Return the header (W3C Trace Context), marked as sampled."""
    trace = trace_id(webhook_id)
    return f"00-{trace}-{trace[:16]}-01"
