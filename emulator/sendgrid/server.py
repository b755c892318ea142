"""A strict emulator of SendGrid's v3 API.

It has /v3/mail/send, /v3/mail/batch, /v3/scopes, /v3/user/credits, /v3/verified_senders, and /v3/logs.

It rejects everything that SendGrid is known to reject, with SendGrid's messages (see `mail_send` for bodies), so that
SendGrid has no known reason to reject an email accepted here. Checks run in this order: size, method, key, scope,
whether credits are left, rate, content type, JSON, the email, its sender, enough credits. An account without credits
can't use sandbox mode either: that is inferred from the status 401, and from SMTP, where it fails the authentication.
"""

import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from emulator.core.faults import Fault, Faults
from emulator.core.journal import Journal
from emulator.core.server import Environ, Server
from emulator.sendgrid.email import Email
from emulator.sendgrid.email_log import SCOPE as LOGS_SCOPE
from emulator.sendgrid.email_log import EmailLog
from emulator.sendgrid.errors import SendGridError, compact, html_page, sendgrid_error
from emulator.sendgrid.mail_send import is_sandboxed, violations

MAX_MESSAGE_BYTES = 30 * 1024 * 1024
RATE_WINDOW_SECONDS = 60
PLAN_CREDITS = 50_000  # per month, of an account with unlimited `credits`
AUTOMATIC_SCOPES = ("2fa_required", "sender_verification_eligible")  # granted to every key

_KEY = re.compile(r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")


class FakeSendGrid(Server):
    """The fake SendGrid, a context manager; `faults.fault` returns the faults that can be added to `faults`.

    `verified` lists the sender identities: addresses and domains. `clock` returns Unix time in seconds. Two limits can
    be changed at any time (None: unlimited): `credits`, the number of remaining recipients, and `rate_limit`, the
    number of requests per minute. Each accepted email is recorded as `sendgrid.mail` and added to the inbox, which
    keeps the latest `keep` (None: all); in sandbox mode it is only recorded, as `sendgrid.sandbox`. `log` decides what
    happens to each accepted email, and `log_faults` affect only reading it.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        verified: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        keep: int | None = None,
    ) -> None:
        super().__init__("sendgrid", self._app(), journal)
        self.credits: int | None = None
        self.rate_limit: int | None = None
        self._clock = clock
        self._lock = threading.RLock()
        self._keys: dict[str, tuple[str, ...]] = {}
        self._revoked: list[str] = []
        self._verified: list[str] = []
        self._inbox: deque[Email] = deque(maxlen=keep)
        self.log, self.log_faults = EmailLog(clock), Faults()
        self._batch_ids: set[str] = set()
        self._next_number = 1
        self._window, self._requests = 0.0, 0
        self.verify(*verified)

    def new_key(self, *scopes: str) -> str:
        """Create a key with `scopes` (default: mail.send)."""
        key = f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"
        return self.add_key(key, *scopes)

    def add_key(self, key: str, *scopes: str) -> str:
        """Add a key. Raise ValueError, without the key in the message, if it isn't a valid SendGrid key."""
        if not _KEY.fullmatch(key):
            raise ValueError("malformed SendGrid key: expected SG.<22 characters>.<43 characters> of A-Z a-z 0-9 _ -")
        with self._lock:
            self._keys[key] = (*(scopes or ("mail.send",)), *AUTOMATIC_SCOPES)
        return key

    def revoke(self, key: str) -> None:
        with self._lock:
            if self._keys.pop(key, None) is not None:
                self._revoked.append(key)

    def is_revoked(self, key: str) -> bool:
        with self._lock:
            return key in self._revoked

    def verify(self, *identities: str) -> None:
        """Verify addresses (single senders) and domains (domain authentication). Raise ValueError for other values."""
        for identity in identities:
            if not re.fullmatch(r"([^\s@,]+@)?[^\s@,]+", identity):
                raise ValueError(f"a sender identity must be an address or a domain, not {identity!r}")
        with self._lock:
            self._verified += [identity.lower() for identity in identities]

    def unverify(self, identity: str) -> None:
        with self._lock:
            self._verified = [known for known in self._verified if known != identity.lower()]

    def take_fault(self, environ: Environ) -> Fault | None:
        return (self.log_faults if environ["PATH_INFO"].startswith("/v3/logs") else self.faults).take()

    def inbox(self) -> list[Email]:
        """Return the accepted emails, oldest first."""
        with self._lock:
            return list(self._inbox)

    def clear(self) -> None:
        """Empty the inbox; numbering continues."""
        with self._lock:
            self._inbox.clear()

    def delete(self, number: int) -> bool:
        """Delete an email from the inbox, and return whether it was there."""
        with self._lock:
            deleted = next((email for email in self._inbox if email.number == number), None)
            if deleted is not None:
                self._inbox.remove(deleted)
            return deleted is not None

    def reset(self) -> None:
        """Empty the inbox and the log, number the next email 1, and remove all limits and sender identities."""
        self.log.clear()
        with self._lock:
            self._inbox.clear()
            self._revoked.clear()
            self._next_number = 1
            self.credits = self.rate_limit = None
            self._verified.clear()

    def _app(self) -> Flask:
        app = Flask("sendgrid", static_folder=None)
        app.before_request(_check_size)
        app.register_error_handler(SendGridError, _handle_error)
        app.register_error_handler(HTTPException, _handle_http_exception)
        for rule, view, method in (
            ("/v3/mail/send", self._mail_send, "POST"),
            ("/v3/mail/batch", self._create_batch, "POST"),
            ("/v3/scopes", self._scopes, "GET"),
            ("/v3/user/credits", self._get_credits, "GET"),
            ("/v3/verified_senders", self._verified_senders, "GET"),
            ("/v3/logs", self._search_log, "POST"),
            ("/v3/logs/<message_id>", self._show_log, "GET"),
        ):
            app.add_url_rule(rule, view_func=view, methods=[method], provide_automatic_options=False)
        return app

    def _mail_send(self) -> Response:
        self._check_scope("mail.send")
        if self.credits is not None and self.credits <= 0:
            raise sendgrid_error("out of credits")
        self._check_rate()
        body = _json_body()
        violated = violations(body, self._batch_ids)
        if violated:
            raise SendGridError(400, violated, {})
        self._check_senders(body)
        if is_sandboxed(body):
            self.journal.record("sendgrid.sandbox", **Email(0, "", self._clock(), body).as_json())
            return Response(status=200, mimetype="text/plain")
        return self._accept(body)

    def _create_batch(self) -> Response:
        self._check_scope("mail.batch.create")
        batch_id = secrets.token_urlsafe(45)
        self._batch_ids.add(batch_id)
        return _json_response({"batch_id": batch_id}, 201)

    def _get_credits(self) -> Response:
        self._check_scope("user.credits.read")
        remaining = PLAN_CREDITS if self.credits is None else self.credits
        today = datetime.fromtimestamp(self._clock(), UTC).date().replace(day=1)
        dates = {"last_reset": f"{today}", "next_reset": f"{(today + timedelta(days=31)).replace(day=1)}"}
        total = max(PLAN_CREDITS, remaining)
        amounts = {"remain": remaining, "total": total, "overage": 0, "used": total - remaining}
        return _json_response({**amounts, **dates, "reset_frequency": "monthly"})

    def _scopes(self) -> Response:
        return _json_response({"scopes": self._granted_scopes()})

    def _verified_senders(self) -> Response:
        """List the single senders; SendGrid lists authenticated domains elsewhere."""
        self._check_scope("sender_verification.read")
        addresses = [identity for identity in self._verified if "@" in identity]
        return _json_response({"results": [_sender(number, address) for number, address in enumerate(addresses, 1)]})

    def _search_log(self) -> Response:
        self._check_scope(LOGS_SCOPE)
        self._check_rate()
        return _json_response(self.log.search(_json_body()))

    def _show_log(self, message_id: str) -> Response:
        self._check_scope(LOGS_SCOPE)
        details = self.log.find(message_id)
        if details is None:
            raise sendgrid_error("not found")
        return _json_response(details)

    def _accept(self, body: dict[str, Any]) -> Response:
        envelopes = body["personalizations"]
        message_id = secrets.token_urlsafe(16)
        with self._lock:
            self._charge(sum(len(envelope.get(kind, [])) for envelope in envelopes for kind in ("to", "cc", "bcc")))
            for index in range(len(envelopes)):
                accepted = Email(self._next_number, message_id, self._clock(), body, index)
                self._next_number += 1
                self._inbox.append(accepted)
                self.log.add(accepted)
                self.journal.record("sendgrid.mail", **accepted.as_json())
        return Response(status=202, mimetype="text/plain", headers={"X-Message-Id": message_id})

    def _charge(self, recipients: int) -> None:
        if self.credits is not None:
            if recipients > self.credits:
                raise sendgrid_error("out of credits")
            self.credits -= recipients

    def _granted_scopes(self) -> tuple[str, ...]:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise sendgrid_error("no key")
        with self._lock:
            if key not in self._keys:
                raise sendgrid_error("wrong key")
            return self._keys[key]

    def _check_scope(self, scope: str) -> None:
        if scope not in self._granted_scopes():
            raise sendgrid_error("missing scope")

    def _check_rate(self) -> None:
        with self._lock:
            window = self._clock() // RATE_WINDOW_SECONDS
            self._requests = self._requests + 1 if window == self._window else 1
            self._window = window
            if self.rate_limit is not None and self._requests > self.rate_limit:
                reset = str(int((window + 1) * RATE_WINDOW_SECONDS))
                limit = {"X-RateLimit-Limit": str(self.rate_limit), "X-RateLimit-Remaining": "0"}
                raise sendgrid_error("too many requests", {**limit, "X-RateLimit-Reset": reset})

    def _check_senders(self, body: dict[str, Any]) -> None:
        """Raise SendGridError for an unverified sender; a domain verifies its own addresses, not its subdomains'."""
        for level in (body, *body["personalizations"]):
            email = level.get("from", body["from"])["email"].lower()
            if not {email, email.rpartition("@")[2]} & set(self._verified):
                raise sendgrid_error("unverified sender")


def _check_size() -> Response | None:
    if (request.content_length or 0) <= MAX_MESSAGE_BYTES:
        return None
    return Response(html_page(413), 413, mimetype="text/html")


def _json_body() -> Any:
    if request.mimetype != "application/json":
        raise sendgrid_error("wrong type")
    try:
        return _decode_json(request.get_data().decode())
    except UnicodeDecodeError:
        raise sendgrid_error("not UTF-8") from None
    except (ValueError, RecursionError):
        raise sendgrid_error("bad request") from None


def _decode_json(text: str) -> Any:
    value = json.loads(text, parse_constant=_reject_constant)
    if "\\ud" not in text.lower():
        return value
    # As in Go, a lone surrogate such as \ud800 becomes U+FFFD, so that stored emails can always be encoded.
    utf16 = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(utf16.decode("utf-16-le", "replace"))


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} isn't valid JSON")


def _sender(number: int, address: str) -> dict[str, Any]:
    known = {"id": number, "nickname": address, "from_email": address, "reply_to": address}
    unknown = dict.fromkeys(
        ("from_name", "reply_to_name", "address", "address2", "state", "city", "zip", "country"), ""
    )
    return {**known, **unknown, "verified": True, "locked": False}


def _json_response(value: Any, status: int = 200) -> Response:
    return Response(compact(value), status, mimetype="application/json")


def _handle_error(error: SendGridError) -> Response:
    return Response(error.body, error.status, dict(error.headers), mimetype="application/json")


def _handle_http_exception(error: HTTPException) -> Response:
    if error.code == 405:
        return _handle_error(sendgrid_error("POST only" if request.path == "/v3/mail/send" else "wrong method"))
    return _handle_error(sendgrid_error("not found"))
