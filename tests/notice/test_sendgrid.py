"""The SendGrid client: results, errors, retries, and the payload."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from notice.compose import Message
from notice.sendgrid import SendGrid, payload
from runtime import log
from runtime.callout import Callout
from runtime.clock import CLOCK, Clock
from runtime.errors import Rejected, Unavailable
from runtime.http_client import HttpResponse, NoResponse
from runtime.results import Result
from runtime.secrets import Secret
from settings import Settings
from tests.conftest import FakeTime, MakeSettings

URL = "https://api.sendgrid.com/v3/mail/send"
KEY = f"SG.{'a' * 22}.{'b' * 43}"
FRESH_KEY = f"SG.{'c' * 22}.{'d' * 43}"
ADDRESS = "j+smith@example.com"


def message(*, to: str = ADDRESS, sender_name: str = "Example", reply_to: str = "help@example.com") -> Message:
    return Message(
        to=to,
        sender_email="security@example.com",
        sender_name=sender_name,
        reply_to=reply_to,
        subject="Your password was changed",
        text="text é",
        html="<p>text</p>",
    )


MESSAGE = message()
CALLOUT = Callout("msg_1", "0" * 64, datetime(2026, 11, 23, tzinfo=UTC), sandbox=False, event={}, deadline=0)


class Keys:
    """A secret whose value changes with each read. Counts the reads."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.reads = list(texts), 0

    def get(self) -> Secret:
        self.reads += 1
        return Secret(self.texts[min(self.reads, len(self.texts)) - 1], self.get)


class UnreadableKeys(Keys):
    """A secret that can be read only once."""

    def get(self) -> Secret:
        if self.reads:
            raise Unavailable("secret_unavailable", "can't read a secret")
        return super().get()


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    """Yield a fake SendGrid. Each registered response is used once, the last one repeatedly."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def callout(time: FakeTime) -> Callout:
    return CALLOUT._replace(deadline=time.monotonic + 5.5)


@pytest.fixture
def send(
    settings: Settings, time: FakeTime, callout: Callout, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Send the email with these keys. The HTTP client uses the test's time."""
    monkeypatch.setattr("runtime.http_client.time", time.clock)

    def run(keys: Keys | None = None, **changes: Any) -> Result:
        sendgrid = SendGrid(settings, clock=time.clock)
        with log.context():
            log.redact_address(MESSAGE.to, "user 0123")
            return sendgrid.send(MESSAGE, key=(keys or Keys(KEY)).get(), callout=callout._replace(**changes))

    return run


Send = Callable[..., Result]


def errors(*pairs: tuple[str, str | None]) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None} for message, field in pairs]}


# Accepted emails


def test_an_accepted_email_is_sent(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, status=202, headers={"X-Message-Id": "m" * 22})

    assert send() == Result("sent", message_id="m" * 22, attempts=1)
    (call,) = mock.calls
    assert call.request.headers["Authorization"] == f"Bearer {KEY}"
    assert call.request.headers["Content-Type"] == "application/json"
    assert json.loads(call.request.body or "") == payload(MESSAGE, CALLOUT)
    assert (call.request.body or "").isascii()


@pytest.mark.parametrize(
    "header", ["", ADDRESS, "j%2Bsmith%40example.com", f"x{KEY}", "two words", "x" * 101, "é" * 22, "<b>m</b>"]
)
def test_a_message_id_that_is_malformed_or_contains_a_key_is_not_reported(
    mock: responses.RequestsMock, send: Send, header: str
) -> None:
    log.redact_secret(KEY)
    mock.post(URL, status=202, headers={"X-Message-Id": header})

    assert send() == Result("sent", attempts=1)


@pytest.mark.parametrize("status", [200, 202])
def test_a_valid_email_in_sandbox_mode_is_not_sent(mock: responses.RequestsMock, send: Send, status: int) -> None:
    mock.post(URL, status=status)

    assert send(sandbox=True) == Result("sandbox", attempts=1)
    assert json.loads(mock.calls[0].request.body or "")["mail_settings"]["sandbox_mode"] == {"enable": True}


@pytest.mark.parametrize("status", [200, 201])
def test_a_success_status_other_than_202_is_a_permanent_error(
    mock: responses.RequestsMock, send: Send, status: int
) -> None:
    """For example, a login page at a wrong SENDGRID_URL responds with 200."""
    mock.post(URL, status=status, body="<html>")

    with pytest.raises(Rejected, match=f"{status}.* SENDGRID_URL"):
        send()
    assert len(mock.calls) == 1


def test_the_eu_endpoint_is_used_if_configured(
    mock: responses.RequestsMock, make_settings: MakeSettings, callout: Callout
) -> None:
    mock.post("https://api.eu.sendgrid.com/v3/mail/send", status=202)
    clock = Clock()
    sendgrid = SendGrid(make_settings(SENDGRID_URL="https://api.eu.sendgrid.com/"))

    result = sendgrid.send(MESSAGE, key=Keys(KEY).get(), callout=callout._replace(deadline=clock.monotonic() + 30))

    assert result.status == "sent"


# Permanent errors

NOT_LISTED = "The requestor's IP Address is not whitelisted"
INVALID_GRANT = "The provided authorization grant is invalid, expired, or revoked"
MALFORMED_BODIES: list[Any] = [{"errors": None}, {"errors": ["text"]}, {"errors": 5}, {}, [], "[" * 60_000, b"\xff"]
FIELDS = "Fix the fields that SendGrid names."
UNVERIFIED = "Verify SENDER_EMAIL as a sender identity: https://app.sendgrid.com/settings/sender_auth"
CREDITS = "The SendGrid account is out of credits: https://app.sendgrid.com/account/billing"
NOT_ALLOWED = "SendGrid's IP Access Management, or an account that isn't allowed to send."
NO_SCOPE = f"Possible causes: an API key without the scope mail.send, {NOT_ALLOWED}"
UNAUTHORIZED = f"Possible causes: an invalid API key in the secret that SENDGRID_API_KEY_SECRET names, {NOT_ALLOWED}"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            errors(("Does not contain a valid address.", "personalizations.0.to.0.email"), ("Bad.", "subject")),
            f"Does not contain a valid address. [personalizations.0.to.0.email]; Bad. [subject]). {FIELDS}",
        ),
        (401, errors((NOT_LISTED, None)), f"{NOT_LISTED}). {UNAUTHORIZED}"),
        (401, errors((INVALID_GRANT, None)), f"{INVALID_GRANT}). {UNAUTHORIZED}"),
        (401, "<html>", f"unexpected response body). {UNAUTHORIZED}"),
        (401, "", f"no reason given). {UNAUTHORIZED}"),
        (403, errors(("access forbidden", None)), f"access forbidden). {NO_SCOPE}"),
        (403, errors(("Not a verified Sender.", "from")), f"Not a verified Sender. [from]). {UNVERIFIED}"),
        (401, errors(("Maximum credits exceeded", None)), f"Maximum credits exceeded). {CREDITS}"),
        (413, "<html>413", "unexpected response body). The email exceeds SendGrid's size limit."),
        (405, errors(("POST method allowed only", None)), "POST method allowed only)."),
        (415, "", "no reason given)."),
        (404, {"errors": []}, "no reason given)."),
        *((400, body, f"unexpected response body). {FIELDS}") for body in MALFORMED_BODIES),
    ],
)
def test_a_rejection_is_permanent_and_says_what_to_do(
    mock: responses.RequestsMock, send: Send, status: int, body: Any, expected: str
) -> None:
    mock.post(URL, status=status, body=body if isinstance(body, str | bytes) else json.dumps(body))

    with pytest.raises(Rejected) as caught:
        send()

    assert (caught.value.status, caught.value.code) == (502, "mail_rejected")
    assert caught.value.message == f"SendGrid rejected the email ({status}: {expected}"
    assert not caught.value.recipient_rejected
    assert len(mock.calls) == 1


@pytest.mark.parametrize(
    ("fields", "recipient_rejected"),
    [
        (["personalizations.0.to.0.email"], True),
        (["personalizations.0.to.0.email", "personalizations.0.to.0.name"], True),
        (["personalizations.to"], True),
        (["personalizations.0.to.0.email", "from.email"], False),
        (["personalizations.0.to.0.email", None], False),
        (["personalizations.0.tomorrow"], False),
        (["personalizations.0.subject"], False),
        (["x.personalizations.0.to"], False),
        ([None], False),
        ([], False),
    ],
)
def test_the_recipient_is_rejected_only_if_every_error_is_about_it(
    mock: responses.RequestsMock, send: Send, fields: list[str | None], recipient_rejected: bool
) -> None:
    mock.post(URL, status=400, json=errors(*(("no", field) for field in fields)))

    with pytest.raises(Rejected) as caught:
        send()

    assert caught.value.recipient_rejected is recipient_rejected


@pytest.mark.parametrize(
    "echo", [ADDRESS, ADDRESS.upper(), "j%2Bsmith%40example.com", "other@example.org", "<security@example.com>"]
)
def test_an_address_in_sendgrids_response_is_redacted(mock: responses.RequestsMock, send: Send, echo: str) -> None:
    mock.post(URL, status=400, json=errors((f"The address {echo} is bad", "personalizations.0.to")))

    with pytest.raises(Rejected) as caught:
        send()

    assert "@" not in caught.value.message
    assert "smith" not in caught.value.message.lower()


def test_the_reason_is_one_line_of_bounded_length(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, status=400, json=errors(("two\r\nlines\u202e\0" + "x" * 1000, None)))

    with pytest.raises(Rejected) as caught:
        send()

    reason = "two  lines  " + "x" * 488
    assert caught.value.message == f"SendGrid rejected the email (400: {reason}). {FIELDS}"


def test_a_long_reason_is_redacted_in_linear_time(mock: responses.RequestsMock, send: Send) -> None:
    """With quadratic time, 60,000 characters would take minutes."""
    mock.post(URL, status=400, json=errors(("x" * 60_000, None)))

    with pytest.raises(Rejected):
        send()


# The key


@pytest.mark.parametrize("body", [errors(("The provided authorization grant is invalid", None)), "<html>", ""])
def test_a_rejected_key_is_refreshed_within_the_same_callout(
    mock: responses.RequestsMock, send: Send, body: Any
) -> None:
    mock.post(URL, status=401, body=body if isinstance(body, str) else json.dumps(body))
    mock.post(URL, status=202)

    assert send(keys := Keys(KEY, FRESH_KEY)).status == "sent"
    assert [call.request.headers["Authorization"] for call in mock.calls] == [f"Bearer {KEY}", f"Bearer {FRESH_KEY}"]
    assert keys.reads == 2


def test_an_unchanged_key_is_not_retried(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, status=401)

    with pytest.raises(Rejected) as caught:
        send(keys := Keys(KEY, KEY))

    assert caught.value.message == f"SendGrid rejected the email (401: no reason given). {UNAUTHORIZED}"
    assert (len(mock.calls), keys.reads) == (1, 2)


def test_a_rejected_fresh_key_is_a_permanent_error_with_sendgrids_latest_message(
    mock: responses.RequestsMock, send: Send
) -> None:
    mock.post(URL, status=401, json=errors((INVALID_GRANT, None)))
    mock.post(URL, status=401, json=errors((NOT_LISTED, None)))

    with pytest.raises(Rejected) as caught:
        send(keys := Keys(KEY, FRESH_KEY))
    assert caught.value.message == f"SendGrid rejected the email (401: {NOT_LISTED}). {UNAUTHORIZED}"
    assert (len(mock.calls), keys.reads) == (2, 2)


def test_sendgrids_message_is_reported_even_if_the_key_cannot_be_read_again(
    mock: responses.RequestsMock, send: Send
) -> None:
    mock.post(URL, status=401, json=errors((NOT_LISTED, None)))

    with pytest.raises(Unavailable) as caught:
        send(UnreadableKeys(KEY))
    assert caught.value.code == "secret_unavailable"
    assert caught.value.message == (
        f"SendGrid rejected the email (401: {NOT_LISTED}). {UNAUTHORIZED} "
        "The key couldn't be read again: can't read a secret"
    )


def test_other_errors_with_the_fresh_key_are_reported(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, status=401)
    mock.post(URL, status=403, json=errors(("access forbidden", None)))

    with pytest.raises(Rejected, match="access forbidden"):
        send(Keys(KEY, FRESH_KEY))


MALFORMED = ["", "SG.short.key", KEY + "x", KEY[:-1], KEY + "\n", f"SG.{'ä' * 22}.{'b' * 43}", "x" + KEY]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_key_is_refreshed_before_sending(mock: responses.RequestsMock, send: Send, malformed: str) -> None:
    mock.post(URL, status=202)

    assert send(keys := Keys(malformed, KEY)).status == "sent"
    assert (len(mock.calls), keys.reads) == (1, 2)


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_key_is_neither_sent_nor_logged(mock: responses.RequestsMock, send: Send, malformed: str) -> None:
    with pytest.raises(Unavailable) as caught:
        send(keys := Keys(malformed, malformed))

    assert caught.value.code == "secret_unavailable"
    assert (len(mock.calls), keys.reads) == (0, 2)
    assert not malformed or malformed not in caught.value.message + caught.value.cause


def test_a_malformed_fresh_key_is_a_temporary_error(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, status=401)

    with pytest.raises(Unavailable, match="a secret is malformed"):
        send(Keys(KEY, "SG.nonsense"))


def test_errors_never_contain_the_key(mock: responses.RequestsMock, send: Send) -> None:
    for body in (errors((f"bad key {KEY}", None)), KEY):
        log.redact_secret(KEY)
        mock.post(URL, status=400, json=body)
        with pytest.raises(Rejected) as caught:
            send()
        assert "a" * 22 not in log.format_error(caught.value)


# Retries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, 300, 302])
def test_a_temporary_error_is_retried_after_a_delay(
    mock: responses.RequestsMock, send: Send, time: FakeTime, status: int
) -> None:
    mock.post(URL, status=status, body="<html>a page</html>")
    mock.post(URL, status=202)

    assert send() == Result("sent", attempts=2)
    assert time.slept == [0.4]


def test_backoff_grows_to_a_maximum_and_stops_at_the_deadline(
    mock: responses.RequestsMock, send: Send, time: FakeTime
) -> None:
    mock.post(URL, status=503, json=errors(("down", None)))

    with pytest.raises(Unavailable) as caught:
        send()

    assert time.slept == [0.4, 0.8, 1.5, 1.5]
    assert (caught.value.code, caught.value.status) == ("mail_unavailable", 503)
    assert caught.value.message == "SendGrid responded with status 503: down"
    assert caught.value.cause == "attempt 5: 503 down"
    assert caught.value.retry_after == 0
    assert not caught.value.maybe_accepted


def test_backoff_is_reduced_by_up_to_half_at_random(mock: responses.RequestsMock, send: Send, time: FakeTime) -> None:
    mock.post(URL, status=503)
    mock.post(URL, status=202)
    time.random = 0.5

    send()

    assert time.slept == pytest.approx([0.3])


def test_at_most_eight_attempts_are_made(mock: responses.RequestsMock, send: Send, time: FakeTime) -> None:
    mock.post(URL, status=503)

    with pytest.raises(Unavailable, match="503"):
        send(deadline=time.monotonic + 1000)

    assert len(mock.calls) == 8


@pytest.mark.parametrize(("seconds_left", "attempts"), [(0.69, 1), (0.71, 2)])
def test_no_attempt_starts_without_enough_time_left(
    mock: responses.RequestsMock, send: Send, time: FakeTime, seconds_left: float, attempts: int
) -> None:
    mock.post(URL, status=503)

    with pytest.raises(Unavailable):
        send(deadline=time.monotonic + seconds_left)

    assert len(mock.calls) == attempts


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"Retry-After": "1"}, 1),
        ({"Retry-After": "3"}, 3),
        ({"Retry-After": formatdate(1_800_000_002, usegmt=True)}, 2),
        ({"X-RateLimit-Reset": "1800000003"}, 3),
        ({"Retry-After": "1", "X-RateLimit-Reset": "1800000003"}, 1),
    ],
)
def test_the_wait_that_sendgrid_requests_is_honored(
    mock: responses.RequestsMock, send: Send, time: FakeTime, headers: dict[str, str], delay: float
) -> None:
    mock.post(URL, status=429, headers=headers)
    mock.post(URL, status=202)

    send()

    assert time.slept == [delay]


def test_retry_after_is_honored_for_any_temporary_error(
    mock: responses.RequestsMock, send: Send, time: FakeTime
) -> None:
    mock.post(URL, status=503, headers={"Retry-After": "2"})
    mock.post(URL, status=202)

    send()

    assert time.slept == [2]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "0"}),
        (429, {"Retry-After": "-5"}),
        (429, {"Retry-After": "soon"}),
        (429, {"Retry-After": "Mon, 01 Jan 999999999 00:00:00 GMT"}),
        (429, {"Retry-After": formatdate(0, usegmt=True)}),
        (429, {"X-RateLimit-Reset": "1700000000"}),
        (429, {"X-RateLimit-Reset": "later"}),
        (503, {"X-RateLimit-Reset": "1800000030"}),
    ],
)
def test_an_invalid_or_past_retry_after_leaves_the_backoff(
    mock: responses.RequestsMock, send: Send, time: FakeTime, status: int, headers: dict[str, str]
) -> None:
    mock.post(URL, status=status, headers=headers)
    mock.post(URL, status=202)

    send()

    assert time.slept == [0.4]


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ({"Retry-After": "60"}, 60),
        ({"Retry-After": "999999999"}, 3600),
        ({"X-RateLimit-Reset": "1800000060"}, 60),
        ({"X-RateLimit-Reset": "999999999999"}, 3600),
    ],
)
def test_a_wait_past_the_deadline_is_returned_without_waiting(
    mock: responses.RequestsMock, send: Send, time: FakeTime, headers: dict[str, str], retry_after: int
) -> None:
    mock.post(URL, status=429, headers=headers)

    with pytest.raises(Unavailable) as caught:
        send()

    assert caught.value.retry_after == retry_after
    assert time.slept == []


def test_the_wait_is_rounded_up_to_whole_seconds(mock: responses.RequestsMock, send: Send, time: FakeTime) -> None:
    time.advance(0.25)
    mock.post(URL, status=429, headers={"X-RateLimit-Reset": "1800000060"})

    with pytest.raises(Unavailable) as caught:
        send()

    assert caught.value.retry_after == 60


@given(st.text(st.characters(exclude_characters="\r\n", max_codepoint=0xFF)), st.text(max_size=20))
def test_any_header_yields_a_bounded_wait(retry_after: str, reset: str) -> None:
    sendgrid = SendGrid.__new__(SendGrid)
    sendgrid._clock = CLOCK
    wait = sendgrid._retry_after(HttpResponse(429, {"Retry-After": retry_after, "X-RateLimit-Reset": reset}, b""))

    assert 0 <= wait <= 3600


@given(st.binary(), st.integers(200, 599))
def test_any_response_yields_a_known_error(body: bytes, status: int) -> None:
    sendgrid = SendGrid.__new__(SendGrid)
    sendgrid._clock = CLOCK

    error = sendgrid._to_error(HttpResponse(status, {}, body), 1)

    assert isinstance(error, Rejected | Unavailable)
    assert len(error.message) < 1000


# No response


def test_a_missing_response_is_retried(mock: responses.RequestsMock, send: Send) -> None:
    mock.post(URL, body=requests.ConnectionError("reset"))
    mock.post(URL, status=202)

    assert send() == Result("sent", attempts=2)


class FakeHttpClient:
    """An HTTP client with a given outcome for each attempt."""

    def __init__(self, *outcomes: NoResponse | HttpResponse) -> None:
        self.outcomes = list(outcomes)

    def post(self, *_: object, **__: object) -> HttpResponse:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, NoResponse):
            raise outcome
        return outcome


def test_at_most_four_ambiguous_attempts_are_made(settings: Settings, time: FakeTime, callout: Callout) -> None:
    http: Any = FakeHttpClient(*[NoResponse("ConnectionResetError: reset", maybe_accepted=True)] * 5)
    sendgrid = SendGrid(settings, clock=time.clock)
    sendgrid._http = http

    with pytest.raises(Unavailable) as caught:
        sendgrid.send(MESSAGE, key=Keys(KEY).get(), callout=callout._replace(deadline=time.monotonic + 45))

    assert len(http.outcomes) == 1
    assert caught.value.maybe_accepted


@pytest.mark.parametrize(
    ("outcomes", "maybe_accepted"),
    [
        ([NoResponse("refused", maybe_accepted=False)], False),
        ([NoResponse("slow", maybe_accepted=True)], True),
        ([NoResponse("slow", maybe_accepted=True), HttpResponse(503, {}, b"")], True),
        ([HttpResponse(503, {}, b""), NoResponse("refused", maybe_accepted=False)], False),
    ],
)
def test_the_error_reports_whether_any_attempt_was_ambiguous(
    settings: Settings,
    time: FakeTime,
    callout: Callout,
    outcomes: list[NoResponse | HttpResponse],
    maybe_accepted: bool,
) -> None:
    sendgrid = SendGrid(settings, clock=time.clock)
    http: Any = FakeHttpClient(*outcomes)
    sendgrid._http = http
    deadline = time.monotonic + (0.5 if len(outcomes) == 1 else 1)

    with pytest.raises(Unavailable) as caught:
        sendgrid.send(MESSAGE, key=Keys(KEY).get(), callout=callout._replace(deadline=deadline))

    assert caught.value.maybe_accepted is maybe_accepted
    assert caught.value.code == "mail_unavailable"
    assert http.outcomes == []


def test_the_cause_of_a_missing_response_is_only_logged(settings: Settings, time: FakeTime, callout: Callout) -> None:
    sendgrid = SendGrid(settings, clock=time.clock)
    http: Any = FakeHttpClient(NoResponse("ConnectionResetError: reset", maybe_accepted=True))
    sendgrid._http = http

    with pytest.raises(Unavailable) as caught:
        sendgrid.send(MESSAGE, key=Keys(KEY).get(), callout=callout._replace(deadline=time.monotonic))

    assert caught.value.message == "SendGrid didn't respond"
    assert caught.value.cause == "attempt 1: ConnectionResetError: reset"


# Payload


def test_the_payload_is_a_security_notice() -> None:
    assert payload(MESSAGE, CALLOUT) == {
        "personalizations": [{"to": [{"email": ADDRESS}]}],
        "from": {"email": "security@example.com", "name": "Example"},
        "reply_to": {"email": "help@example.com"},
        "subject": "Your password was changed",
        "content": [
            {"type": "text/plain", "value": "text é"},
            {"type": "text/html", "value": "<p>text</p>"},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
        "categories": ["password-notice"],
        "custom_args": {"webhook_id": "msg_1"},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
            "ganalytics": {"enable": False},
        },
        "mail_settings": {
            "bypass_unsubscribe_management": {"enable": True},
            "bypass_spam_management": {"enable": True},
        },
    }


def test_the_payload_omits_unset_fields() -> None:
    body = payload(message(sender_name="", reply_to=""), CALLOUT)

    assert body["from"] == {"email": "security@example.com"}
    assert "reply_to" not in body


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        (ADDRESS, ADDRESS),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@faß.example", "a@xn--fa-hia.example"),
        ("müller@bücher.example", "müller@bücher.example"),
        ("müller@example.com", "müller@example.com"),
        ("a@ü..example", "a@ü..example"),
        ("a@" + "ü" * 70 + ".example", "a@" + "ü" * 70 + ".example"),
        ("@ü", "@xn--tda"),
    ],
)
def test_an_internationalized_domain_is_sent_in_its_xn_form(address: str, sent: str) -> None:
    """faß.example and fass.example are different domains."""
    body = payload(message(to=address), CALLOUT)

    assert body["personalizations"] == [{"to": [{"email": sent}]}]


def test_internationalized_domains_of_the_sender_and_the_contact_are_sent_in_their_xn_form() -> None:
    body = payload(message(reply_to="hilfe@bücher.example")._replace(sender_email="team@faß.example"), CALLOUT)

    assert body["from"] == {"email": "team@xn--fa-hia.example", "name": "Example"}
    assert body["reply_to"] == {"email": "hilfe@xn--bcher-kva.example"}


def test_the_payload_contains_the_address_only_as_recipient() -> None:
    body = payload(MESSAGE, CALLOUT)
    del body["personalizations"]

    assert ADDRESS not in json.dumps(body)
