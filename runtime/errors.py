"""The errors of a callout, one class for each reaction that the caller should have.

NoticeError              code and status go into the response; the message is safe to show to the caller
├── InvalidCallout       4xx: invalid request; no Action ran
├── Rejected             502: permanent; retrying won't help until someone fixes the cause
└── Unavailable          503 + Retry-After: temporary; retry

Any other exception is unexpected and becomes `internal` (500). SettingsError (settings.py) stops startup.
"""


class NoticeError(Exception):
    """A failure that has a defined response.

    `code` is stable and machine-readable, `status` is the HTTP status, and `cause` is only logged.
    """

    status = 500

    def __init__(self, code: str, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.cause = code, message, cause


class InvalidCallout(NoticeError):
    """The request can't be accepted: method_not_allowed, unsupported_media_type, too_large, invalid_signature,
    invalid_json, or invalid_event.
    """

    def __init__(self, code: str, status: int, message: str, *, cause: str = "") -> None:
        super().__init__(code, message, cause=cause)
        self.status = status


class Rejected(NoticeError):
    """SendGrid rejected the request (mail_rejected). `recipient_rejected`: it rejected the recipient's address."""

    status = 502

    def __init__(self, message: str, *, cause: str = "", recipient_rejected: bool = False) -> None:
        super().__init__("mail_rejected", message, cause=cause)
        self.recipient_rejected = recipient_rejected


class Unavailable(NoticeError):
    """An upstream service doesn't respond: mail_unavailable, secret_unavailable, queue_unavailable, or in_progress.

    `retry_after` is in whole seconds; 0 means that no wait was requested. `maybe_accepted`: a timeout may hide that the
    request was accepted.
    """

    status = 503

    def __init__(
        self, code: str, message: str, *, cause: str = "", retry_after: int = 0, maybe_accepted: bool = False
    ) -> None:
        super().__init__(code, message, cause=cause)
        self.retry_after, self.maybe_accepted = retry_after, maybe_accepted
