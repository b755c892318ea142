"""The errors of a callout, as one family; which branch one is on says what the caller should do.

NoticeError              code and status stand in the answer, the message is safe to show outside
├── InvalidCallout       4xx: the callout is wrong, nothing ran
├── Rejected             502: the same again gets the same, until a person repairs something
└── Unavailable          503 + Retry-After: try again

What is not in the family is unforeseen and becomes `internal` (500). SettingsError (settings.py) ends the start.
"""


class NoticeError(Exception):
    """A failure that has an answer.

    `code` is stable and for machines, `status` is the HTTP status, `cause` is for the log alone.
    """

    status = 500

    def __init__(self, code: str, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.cause = code, message, cause


class InvalidCallout(NoticeError):
    """The caller sent what cannot be taken: method_not_allowed, unsupported_media_type, too_large,
    invalid_signature, invalid_json or invalid_event."""

    def __init__(self, code: str, status: int, message: str, *, cause: str = "") -> None:
        super().__init__(code, message, cause=cause)
        self.status = status


class Rejected(NoticeError):
    """SendGrid took the request and said no (mail_rejected). `recipient_rejected`: because of the recipient."""

    status = 502

    def __init__(self, message: str, *, cause: str = "", recipient_rejected: bool = False) -> None:
        super().__init__("mail_rejected", message, cause=cause)
        self.recipient_rejected = recipient_rejected


class Unavailable(NoticeError):
    """Something outside does not answer now: mail_unavailable, secret_unavailable, queue_unavailable, in_progress.

    `retry_after` is in whole seconds; 0: nobody asked to wait. `maybe_accepted`: a time-out may hide that the mail was
    taken.
    """

    status = 503

    def __init__(
        self, code: str, message: str, *, cause: str = "", retry_after: int = 0, maybe_accepted: bool = False
    ) -> None:
        super().__init__(code, message, cause=cause)
        self.retry_after, self.maybe_accepted = retry_after, maybe_accepted
