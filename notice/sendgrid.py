"""The SendGrid client: send one email, or raise an error that says what to do.

Reference: SendGrid's v3 Mail Send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send. It has no
idempotency keys: SendGrid may have accepted a request that timed out.
"""

import json
import math
import re
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from typing import Any

import idna

from notice.compose import Message
from runtime import log
from runtime.callout import Callout
from runtime.clock import CLOCK, Clock
from runtime.errors import Rejected, Unavailable
from runtime.http_client import HttpClient, HttpResponse, NoResponse
from runtime.results import Result
from runtime.secrets import Secret
from settings import Settings

KEY_PATTERN = re.compile(r"SG\.[\w-]{22}\.[\w-]{43}", re.ASCII)
ADDRESS_PATTERN = re.compile(r"(?<!\S)\S*@\S*")
RECIPIENT_FIELD = re.compile(r"personalizations(\.\d+)?\.to\b")
MAX_ATTEMPTS = 8
# Attempts per callout that SendGrid may have accepted, and so the most emails that one callout can cause; plus one for
# each of these attempts that was repeated because a pooled connection closed without a response.
MAX_AMBIGUOUS_ATTEMPTS = 4
INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 1.5  # doubles with each attempt, reduced by up to half at random
MIN_ATTEMPT_SECONDS = 0.3  # don't retry with less time than this left
MAX_RETRY_AFTER_SECONDS = 3600

ADVICE = {
    400: "Fix the fields that SendGrid names.",
    401: "Store a valid API key in the secret that SENDGRID_API_KEY_SECRET names.",
    403: "Give the API key the scope mail.send.",
    413: "The email exceeds SendGrid's size limit.",
}
UNVERIFIED_SENDER = "Verify SENDER_EMAIL as a sender identity: https://app.sendgrid.com/settings/sender_auth"
NOT_SENDGRID = "SENDGRID_URL doesn't point to SendGrid, which accepts email with status 202."
OUT_OF_CREDITS = "The SendGrid account is out of credits: https://app.sendgrid.com/account/billing"


class _KeyRejected(Exception):
    """SendGrid rejected the API key (401)."""


class SendGrid:
    """A client for the configured SendGrid URL. Thread-safe; threads share pooled connections."""

    def __init__(self, settings: Settings, *, clock: Clock = CLOCK) -> None:
        self._url, self._clock = f"{settings.sendgrid_url}/v3/mail/send", clock
        self._http = HttpClient(settings)

    def send(self, message: Message, *, key: Secret, callout: Callout) -> Result:
        """Send the email, retrying within the callout's deadline. Return a result with status sent or sandbox.

        If SendGrid rejects the key, it is read again once, so that a rotated key works within the same callout.
        Raises Rejected (mail_rejected) or Unavailable (mail_unavailable, secret_unavailable).
        """
        body = json.dumps(payload(message, callout), ensure_ascii=True).encode()
        if not KEY_PATTERN.fullmatch(key):
            key = key.refresh()
        try:
            return self._send(body, key, callout)
        except _KeyRejected:
            fresh = key.refresh()
        if fresh != key:
            with suppress(_KeyRejected):
                return self._send(body, fresh, callout)
        raise _rejected(401, "API key rejected", ADVICE[401])

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
            return Result(
                "sandbox" if callout.sandbox else "sent",
                message_id=response.headers.get("X-Message-Id"),
                attempts=attempt,
            )
        raise self._to_error(response, attempt)

    def _to_error(self, response: HttpResponse, attempt: int) -> Exception:
        status, (reason, fields) = response.status, _parse_errors(response)
        if status < 300:
            return _rejected(status, reason, NOT_SENDGRID)
        if status == 401 and "credits" in reason:
            return _rejected(401, reason, OUT_OF_CREDITS)
        if status == 401:
            return _KeyRejected()
        if status == 403 and "from" in fields:
            return _rejected(403, reason, UNVERIFIED_SENDER)
        if 400 <= status < 500 and status not in (408, 429):
            recipient_rejected = bool(fields) and all(RECIPIENT_FIELD.match(field) for field in fields)
            return _rejected(status, reason, ADVICE.get(status, ""), recipient_rejected=recipient_rejected)
        return Unavailable(
            "mail_unavailable",
            f"SendGrid responded with status {status}",
            cause=f"attempt {attempt}: {status} {reason}",
            retry_after=self._retry_after(response),
        )

    def _retry_after(self, response: HttpResponse) -> int:
        """Return the seconds that SendGrid asks to wait, or 0 if it doesn't ask."""
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
        """Wait until the next attempt. Return False at once if there must be none."""
        backoff = min(INITIAL_BACKOFF_SECONDS * 2**attempt, MAX_BACKOFF_SECONDS) * (1 - self._clock.random() / 2)
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
    sender = {"email": message.sender_email, **({"name": message.sender_name} if message.sender_name else {})}
    return {
        "personalizations": [{"to": [{"email": ascii_domain(message.to)}]}],
        "from": sender,
        **({"reply_to": {"email": message.reply_to}} if message.reply_to else {}),
        "subject": message.subject,
        "content": [
            {"type": "text/plain", "value": message.text},
            {"type": "text/html", "value": message.html},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
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


def ascii_domain(address: str) -> str:
    """Convert the domain to its `xn--` form, because SendGrid lacks SMTPUTF8. Return other addresses unchanged."""
    local, _, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii():
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"  # Python's own codec converts faß.de to fass.de
    except UnicodeError:
        return address


def _rejected(status: int, reason: str, advice: str, *, recipient_rejected: bool = False) -> Rejected:
    return Rejected(
        f"SendGrid rejected the email ({status}: {reason}). {advice}".rstrip(), recipient_rejected=recipient_rejected
    )


def _parse_http_date(date: str) -> float | None:
    """Return an HTTP date as Unix seconds, or None if it is malformed."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):
        return None


def _parse_errors(response: HttpResponse) -> tuple[str, list[str]]:
    """Return SendGrid's messages as one line without addresses, and the field of each error ("" if it has none)."""
    try:
        errors = [(str(error.get("message")), error.get("field")) for error in json.loads(response.body)["errors"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ("unexpected response body" if response.body else "no reason given"), []
    text = "; ".join(f"{message} [{field}]" if field else message for message, field in errors)
    redacted = ADDRESS_PATTERN.sub("[address]", log.redact(text))
    printable = "".join(char if char.isprintable() else " " for char in redacted)
    return printable[:500] or "no reason given", [str(field or "") for _, field in errors]
