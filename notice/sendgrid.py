"""The SendGrid client: one message, one accepted mail, or an error that says what to do.

Source: SendGrid's v3 Mail Send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send. It knows no
idempotency key: a request that timed out may have been accepted.
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

KEY = re.compile(r"SG\.[\w-]{22}\.[\w-]{43}", re.ASCII)
ADDRESS = re.compile(r"(?<!\S)\S*@\S*")
RECIPIENT = re.compile(r"personalizations(\.\d+)?\.to\b")
MOST_ATTEMPTS = 8
# Attempts of one callout that SendGrid may have accepted. So many mails it can bring, and one more for each of them
# whose kept connection ended without an answer.
MOST_DOUBTS = 4
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 1.5  # doubled with each attempt, less a random half
SHORTEST_ATTEMPT_SECONDS = 0.3  # with less time left, another attempt makes no sense
LONGEST_RETRY_AFTER = 3600

ADVICE = {
    400: "The fields that SendGrid names say what to mend.",
    401: "Put a valid API key into the secret that SENDGRID_API_KEY_SECRET names.",
    403: "Give the API key the scope mail.send.",
    413: "The mail is larger than SendGrid takes.",
}
UNVERIFIED = "Verify SENDER_EMAIL as a sender identity: https://app.sendgrid.com/settings/sender_auth"
NO_ACCEPTANCE = "What answers at SENDGRID_URL is not SendGrid: it accepts a mail with 202."
CREDITS = "The SendGrid account is out of credits: https://app.sendgrid.com/account/billing"


class _KeyRefused(Exception):
    """401: the key that was used is not one, or is one no longer."""


class SendGrid:
    """SendGrid as these settings reach it. Safe for threads; connections are kept and shared."""

    def __init__(self, settings: Settings, *, clock: Clock = CLOCK) -> None:
        self._url, self._clock = f"{settings.sendgrid_url}/v3/mail/send", clock
        self._network = HttpClient(settings)

    def send(self, message: Message, *, key: Secret, callout: Callout) -> Result:
        """Hand the message over, trying again within the callout's deadline. Status sent, or sandbox.

        A key that SendGrid refuses is read anew, once: a rotated key works within the very callout that meets the 401.
        Raises Rejected (mail_rejected) or Unavailable (mail_unavailable, secret_unavailable).
        """
        body = json.dumps(payload(message, callout), ensure_ascii=True).encode()
        if not KEY.fullmatch(key):
            key = key.renewed()
        try:
            return self._send(body, key, callout)
        except _KeyRefused:
            fresh = key.renewed()
        if fresh != key:
            with suppress(_KeyRefused):
                return self._send(body, fresh, callout)
        raise _rejected(401, "the API key is not valid", ADVICE[401])

    def _send(self, body: bytes, key: Secret, callout: Callout) -> Result:
        if not KEY.fullmatch(key):
            cause = "SENDGRID_API_KEY has not the form SG. + 22 + . + 43 characters"
            raise Unavailable("secret_unavailable", "a secret is malformed", cause=cause)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json"}
        attempt, doubts = 1, 0
        while True:
            try:
                return self._attempt(headers, body, callout, attempt)
            except Unavailable as error:
                doubts += error.maybe_accepted
                error.maybe_accepted = doubts > 0
                if doubts == MOST_DOUBTS or not self._pause(attempt, error.retry_after, callout.deadline):
                    raise
            attempt += 1

    def _attempt(self, headers: dict[str, str], body: bytes, callout: Callout, attempt: int) -> Result:
        try:
            reply = self._network.post(self._url, headers, body, ends=callout.deadline)
        except NoResponse as error:
            raise Unavailable(
                "mail_unavailable",
                "SendGrid did not answer",
                cause=f"attempt {attempt}: {error}",
                maybe_accepted=error.maybe_accepted,
            ) from error
        if reply.status == 202 or (reply.status == 200 and callout.sandbox):
            return Result(
                "sandbox" if callout.sandbox else "sent",
                message_id=reply.headers.get("X-Message-Id"),
                attempts=attempt,
            )
        raise self._refusal(reply, attempt)

    def _refusal(self, reply: HttpResponse, attempt: int) -> Exception:
        said, fields = _errors(reply)
        if reply.status < 300:
            return _rejected(reply.status, said, NO_ACCEPTANCE)
        if reply.status == 401 and "credits" in said:
            return _rejected(401, said, CREDITS)
        if reply.status == 401:
            return _KeyRefused()
        if reply.status == 403 and "from" in fields:
            return _rejected(403, said, UNVERIFIED)
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            to_blame = bool(fields) and all(RECIPIENT.match(field) for field in fields)
            return _rejected(reply.status, said, ADVICE.get(reply.status, ""), recipient_rejected=to_blame)
        return Unavailable(
            "mail_unavailable",
            f"SendGrid answered {reply.status}",
            cause=f"attempt {attempt}: {reply.status} {said}",
            retry_after=self._retry_after(reply),
        )

    def _retry_after(self, reply: HttpResponse) -> int:
        """Seconds that SendGrid asks to wait; 0 where it asks nothing."""
        asked, reset = reply.headers.get("Retry-After", ""), reply.headers.get("X-RateLimit-Reset", "")
        until = _unix(asked)
        seconds = 0.0
        if re.fullmatch(r"[0-9]{1,9}", asked):
            seconds = int(asked)
        elif until is not None:
            seconds = until - self._clock.now()
        elif reply.status == 429 and re.fullmatch(r"[0-9]{1,12}", reset):
            seconds = int(reset) - self._clock.now()
        return math.ceil(min(max(seconds, 0), LONGEST_RETRY_AFTER))

    def _pause(self, attempt: int, retry_after: int, deadline: float) -> bool:
        """Wait before the next attempt; False where there is to be none."""
        own = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS) * (1 - self._clock.chance() / 2)
        pause = max(own, retry_after)
        if attempt >= MOST_ATTEMPTS or self._clock.monotonic() + pause + SHORTEST_ATTEMPT_SECONDS > deadline:
            return False
        self._clock.sleep(pause)
        return True


def payload(message: Message, callout: Callout) -> dict[str, Any]:
    """The body of the request: a security notice. Nothing is tracked, and who left a newsletter gets it all the same.

    custom_args is not private (it shows in webhooks and statistics): the webhook-id alone.
    """
    off = {"enable": False}
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
            "open_tracking": off,
            "subscription_tracking": off,
            "ganalytics": off,
        },
        "mail_settings": {
            "bypass_unsubscribe_management": {"enable": True},
            "bypass_spam_management": {"enable": True},
            **({"sandbox_mode": {"enable": True}} if callout.sandbox else {}),
        },
    }


def ascii_domain(address: str) -> str:
    """The address with its domain in the `xn--` form: SendGrid has no SMTPUTF8. Unchanged where nothing would help."""
    local, _, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii():
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"  # Python's own codec takes faß.de for fass.de
    except UnicodeError:
        return address


def _rejected(status: int, said: str, advice: str, *, recipient_rejected: bool = False) -> Rejected:
    return Rejected(
        f"SendGrid refused the mail ({status}: {said}). {advice}".rstrip(), recipient_rejected=recipient_rejected
    )


def _unix(date: str) -> float | None:
    """Unix seconds of an HTTP date."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):
        return None


def _errors(reply: HttpResponse) -> tuple[str, list[str]]:
    """What SendGrid says, as one line without addresses, and the field of each error (empty: none)."""
    try:
        errors = [(str(error.get("message")), error.get("field")) for error in json.loads(reply.body)["errors"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ("a page that is not JSON" if reply.body else "no reason given"), []
    said = "; ".join(f"{message} [{field}]" if field else message for message, field in errors)
    printable = "".join(char if char.isprintable() else " " for char in ADDRESS.sub("[address]", log.mask(said)))
    return printable[:500] or "no reason given", [str(field or "") for _, field in errors]
