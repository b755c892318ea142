"""The SendGrid client: send one email, or raise an error that says what to do.

Reference: SendGrid's v3 Mail Send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send. It has no
idempotency keys: SendGrid may have accepted a request that timed out.
"""

import json
import math
import re
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from notice.compose import Message
from runtime import log
from runtime.address import ascii_domain
from runtime.callout import Callout
from runtime.clock import CLOCK, Clock
from runtime.errors import NoticeError, Rejected, Unavailable
from runtime.http_client import HttpClient, HttpResponse, NoResponse
from runtime.results import Result
from runtime.secrets import Secret
from settings import Settings

KEY_PATTERN = re.compile(r"SG\.[\w-]{22}\.[\w-]{43}", re.ASCII)
MESSAGE_ID_PATTERN = re.compile(r"[\w.-]{1,100}", re.ASCII)
ADDRESS_PATTERN = re.compile(r"(?<!\S)\S*@\S*")
RECIPIENT_FIELD = re.compile(r"personalizations(\.\d+)?\.to\b")
CATEGORY = "password-notice"  # of every email, so that the audit can find it in SendGrid's log
MAX_ATTEMPTS = 8
# How many attempts per callout SendGrid may have accepted without responding, and so the most emails that it can cause.
MAX_AMBIGUOUS_ATTEMPTS = 4
INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.4, 1.5  # doubles with each attempt, reduced by up to half at random
MIN_ATTEMPT_SECONDS = 0.3  # don't retry with less time than this left
MAX_RETRY_AFTER_SECONDS = 3600

NOT_ALLOWED = "SendGrid's IP Access Management, or an account that isn't allowed to send."
ADVICE = {
    400: "Fix the fields that SendGrid names.",
    401: f"Possible causes: an invalid API key in the secret that SENDGRID_API_KEY_SECRET names, {NOT_ALLOWED}",
    403: f"Possible causes: an API key without the scope mail.send, {NOT_ALLOWED}",
    413: "The email exceeds SendGrid's size limit.",
}
UNVERIFIED_SENDER = "Verify SENDER_EMAIL as a sender identity: https://app.sendgrid.com/settings/sender_auth"
NOT_SENDGRID = "Check SENDGRID_URL: SendGrid accepts an email with status 202."
OUT_OF_CREDITS = "The SendGrid account is out of credits: https://app.sendgrid.com/account/billing"


class _Unauthorized(Rejected):
    """SendGrid responded with 401: another API key may work."""


class SendGrid:
    """A client for the configured SendGrid URL. Thread-safe; threads share pooled connections."""

    def __init__(self, settings: Settings, *, clock: Clock = CLOCK) -> None:
        self._url, self._clock = f"{settings.sendgrid_url}/v3/mail/send", clock
        self._http = HttpClient(settings)

    def send(self, message: Message, *, key: Secret, callout: Callout) -> Result:
        """Send the email, retrying within the callout's deadline. Return a result with status sent or sandbox.

        After a 401, the key is read again once, so that a rotated key works within the same callout.
        Raise Rejected (mail_rejected) or Unavailable (mail_unavailable, secret_unavailable).
        """
        body = json.dumps(payload(message, callout), ensure_ascii=True).encode()
        if not KEY_PATTERN.fullmatch(key):
            key = key.refresh()
        try:
            return self._send(body, key, callout)
        except _Unauthorized as rejected:
            try:
                fresh = key.refresh()
            except Unavailable as error:
                error.message = f"{rejected.message} The key couldn't be read again: {error.message}"
                raise
            if fresh == key:
                raise
        return self._send(body, fresh, callout)

    def _send(self, body: bytes, key: Secret, callout: Callout) -> Result:
        if not KEY_PATTERN.fullmatch(key):
            cause = "SENDGRID_API_KEY is malformed: expected SG.<22 characters>.<43 characters>"
            raise Unavailable("secret_unavailable", "a secret is malformed", cause=cause)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json"}
        attempt, ambiguous = 1, 0
        while True:
            try:
                return self._attempt(headers, body, callout, attempt)
            except Unavailable as error:
                ambiguous += error.maybe_accepted
                error.maybe_accepted = ambiguous > 0
                if ambiguous == MAX_AMBIGUOUS_ATTEMPTS:
                    raise
                if not self._wait_for_retry(attempt, error.retry_after, callout.deadline):
                    raise
            attempt += 1

    def _attempt(self, headers: dict[str, str], body: bytes, callout: Callout, attempt: int) -> Result:
        try:
            response = self._http.post(self._url, headers, body, deadline=callout.deadline)
        except NoResponse as error:
            raise Unavailable(
                "mail_unavailable",
                "SendGrid didn't respond",
                cause=f"attempt {attempt}: {error}",
                maybe_accepted=error.maybe_accepted,
            ) from error
        if response.status == 202 or (response.status == 200 and callout.sandbox):
            message_id = log.redact(response.headers.get("X-Message-Id", ""))
            return Result(
                "sandbox" if callout.sandbox else "sent",
                message_id=message_id if MESSAGE_ID_PATTERN.fullmatch(message_id) else None,
                attempts=attempt,
            )
        raise self._to_error(response, attempt)

    def _to_error(self, response: HttpResponse, attempt: int) -> NoticeError:
        status, (reason, fields) = response.status, parse_errors(response.body)
        if 300 <= status < 400 or status in (408, 429) or status >= 500:
            return Unavailable(
                "mail_unavailable",
                f"SendGrid responded with status {status}: {reason}",
                cause=f"attempt {attempt}: {status} {reason}",
                retry_after=self._retry_after(response),
            )
        advice = _advice(status, reason, fields)
        message = f"SendGrid rejected the email ({status}: {reason}). {advice}".rstrip()
        if status == 401 and advice != OUT_OF_CREDITS:
            return _Unauthorized(message)
        recipient_rejected = bool(fields) and all(RECIPIENT_FIELD.match(field) for field in fields)
        return Rejected(message, recipient_rejected=recipient_rejected)

    def _retry_after(self, response: HttpResponse) -> int:
        """Return how many seconds SendGrid requests to wait, or 0 if it doesn't."""
        retry_after, reset = response.headers.get("Retry-After", ""), response.headers.get("X-RateLimit-Reset", "")
        retry_at = _parse_http_date(retry_after)
        seconds = 0.0
        if re.fullmatch(r"[0-9]{1,9}", retry_after):
            seconds = int(retry_after)
        elif retry_at is not None:
            seconds = retry_at - self._clock.now()
        elif response.status == 429 and re.fullmatch(r"[0-9]{1,12}", reset):
            seconds = int(reset) - self._clock.now()
        return math.ceil(min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS))

    def _wait_for_retry(self, attempt: int, retry_after: int, deadline: float) -> bool:
        """Wait until the next attempt. Return False immediately if no attempt is left, or no time for one."""
        backoff = min(INITIAL_BACKOFF_SECONDS * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS) * (
            1 - self._clock.random() / 2
        )
        delay = max(backoff, retry_after)
        if attempt >= MAX_ATTEMPTS or self._clock.monotonic() + delay + MIN_ATTEMPT_SECONDS > deadline:
            return False
        self._clock.sleep(delay)
        return True


def payload(message: Message, callout: Callout) -> dict[str, Any]:
    """Return the request's body: a security notice, without tracking, that bypasses unsubscribe and spam lists.

    custom_args isn't private (it appears in SendGrid's webhooks and statistics), so it contains only the webhook-id.
    """
    disabled = {"enable": False}
    sender = {"email": ascii_domain(message.sender_email)}
    return {
        "personalizations": [{"to": [{"email": ascii_domain(message.to)}]}],
        "from": {**sender, "name": message.sender_name} if message.sender_name else sender,
        **({"reply_to": {"email": ascii_domain(message.reply_to)}} if message.reply_to else {}),
        "subject": message.subject,
        "content": [
            {"type": "text/plain", "value": message.text},
            {"type": "text/html", "value": message.html},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
        "categories": [CATEGORY],
        "custom_args": {"webhook_id": callout.id},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": disabled,
            "subscription_tracking": disabled,
            "ganalytics": disabled,
        },
        "mail_settings": {
            "bypass_unsubscribe_management": {"enable": True},
            "bypass_spam_management": {"enable": True},
            **({"sandbox_mode": {"enable": True}} if callout.sandbox else {}),
        },
    }


def _advice(status: int, reason: str, fields: list[str]) -> str:
    if status < 300:
        return NOT_SENDGRID
    if status == 401 and "credits" in reason:
        return OUT_OF_CREDITS
    return UNVERIFIED_SENDER if status == 403 and "from" in fields else ADVICE.get(status, "")


def _parse_http_date(date: str) -> float | None:
    """Return an HTTP date as Unix seconds, or None if it is malformed."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):
        return None


def parse_errors(body: bytes) -> tuple[str, list[str]]:
    """Return SendGrid's messages as one line without addresses, and the field of each error ("" if it has none)."""
    try:
        errors = [(str(error.get("message")), error.get("field")) for error in json.loads(body)["errors"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ("unexpected response body" if body else "no reason given"), []
    text = "; ".join(f"{message} [{field}]" if field else message for message, field in errors)
    redacted = ADDRESS_PATTERN.sub("[address]", log.redact(text))
    printable = "".join(char if char.isprintable() else " " for char in redacted)
    return printable[:500] or "no reason given", [str(field or "") for _, field in errors]
