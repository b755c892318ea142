import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any

import functions_framework
import pytest
import responses
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from runtime import Api, Event, Flow, Result, log, skipped, start
from runtime.clock import CLOCK
from runtime.errors import InvalidCallout, NoticeError, Rejected, Unavailable
from runtime.flow import MAX_TASK_AGE_SECONDS, MAX_TIMEOUTS, _TimeoutCounter
from runtime.secret_sources import TemporaryError
from runtime.secrets import SecretCache
from settings import Settings
from tests.conftest import SIGNING_KEY, Console, FakeTime, Lines, MakeSettings, Sign

ADDRESS = "j+smith@example.com"
EVENT: dict[str, Any] = {"tenant": {"id": "acme"}, "user": {"user_id": "auth0|1", "email": ADDRESS}}
USER = sha256(b"acme/auth0|1").hexdigest()[:16]

Do = Callable[[Event, Api], Any]
Call = Callable[..., tuple[int, dict[str, Any]]]


def fetch(source: str) -> str:
    return SIGNING_KEY if source.endswith("callout") else "api-key-value"


@pytest.fixture
def flow(settings: Settings, time: FakeTime) -> Flow:
    return Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)


def named(name: str, do: Do) -> Do:
    do.__name__ = name
    return do


def raising(error: BaseException) -> Do:
    def act(event: Event, api: Api) -> Result:
        raise error

    return act


@pytest.fixture
def request_of(sign: Sign) -> Callable[..., Request]:
    """A signed POST of the event; `body` stands in for it whole, `headers` are put over the good ones."""

    def make(body: bytes | dict[str, Any] = EVENT, *, path: str = "/", headers: Any = None, **how: Any) -> Request:
        raw = json.dumps({"event": body}).encode() if isinstance(body, dict) else body
        signed = {**sign(raw, **how), **(headers or {})}
        made = EnvironBuilder(
            path=path, method="POST", data=raw, content_type="application/json", headers=list(signed.items())
        )
        return Request(made.get_environ())

    return make


def parsed(response: Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, json.loads(response.get_data())


@pytest.fixture
def call(flow: Flow, request_of: Callable[..., Request]) -> Call:
    return lambda *of, **how: parsed(flow.handle_callout(request_of(*of, **how)))


@pytest.fixture
def deliver(flow: Flow, request_of: Callable[..., Request]) -> Call:
    return lambda name, *of, **how: parsed(flow.deliver(request_of(*of, path=f"/{name}", **how)))


# What an Action gets and gives


def test_action_gets_the_event_with_its_secrets_and_the_api(flow: Flow, call: Call) -> None:
    seen: list[object] = []

    @flow.action
    def notify(event: Event, api: Api) -> Result:
        seen.extend([event.user.email, event.secrets.SENDGRID_API_KEY, event.callout.id, api.cache.get("k")])
        return Result("sent", message_id="m")

    status, body = call()

    assert (status, body["status"], body["message_id"], body["id"]) == (200, "sent", "m", "msg_1")
    assert body["actions"] == [{"name": "notify", "status": "sent", "duration_ms": 0.0}]
    assert seen == [ADDRESS, "api-key-value", "msg_1", None]


def test_what_stands_under_the_actions_name_is_a_plain_function_of_the_request(
    flow: Flow, request_of: Callable[..., Request]
) -> None:
    @flow.action
    def notify(event: Event, api: Api) -> Result:
        """What it does."""
        return Result("sent")

    assert isinstance(notify, FunctionType)
    assert (notify.__name__, notify.__doc__) == ("notify", "What it does.")
    assert notify(request_of()).status_code == 200


def test_async_action_is_refused_at_the_start(flow: Flow) -> None:
    async def notify(event: Event, api: Api) -> Result:
        return Result("sent")

    refused: Any = notify
    with pytest.raises(TypeError, match="notify is async"):
        flow.action(refused)


@pytest.mark.parametrize("returned", [None, True, "sent", {"status": "sent"}])
def test_action_that_returns_no_result_is_done(flow: Flow, call: Call, returned: object) -> None:
    flow.action(named("notify", lambda event, api: returned))

    assert call()[1]["status"] == "done"
    assert call()[1]["status"] == "duplicate"


def test_actions_run_in_their_order_and_share_the_cache(flow: Flow, call: Call) -> None:
    def first(event: Event, api: Api) -> None:
        api.cache.set("k", "v")

    def second(event: Event, api: Api) -> Result:
        record = api.cache.get("k")
        return Result(record.value if record else "nothing")

    flow.action(first)
    flow.action(second)

    assert [(action["name"], action["status"]) for action in call()[1]["actions"]] == [
        ("first", "done"),
        ("second", "v"),
    ]


def test_times_are_told_in_milliseconds(flow: Flow, call: Call, time: FakeTime) -> None:
    flow.action(named("a", lambda event, api: time.advance(0.25)))
    flow.action(named("b", lambda event, api: time.advance(0.5)))

    body = call()[1]

    assert body["stats"] == {"total_ms": 750.0, "network_ms": 0.0}
    assert [action["duration_ms"] for action in body["actions"]] == [250.0, 500.0]


def test_deadline_is_counted_from_the_start_of_the_request(
    flow: Flow, request_of: Callable[..., Request], time: FakeTime
) -> None:
    class Slow(BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            time.advance(2)
            return super().readinto(buffer)

    seen: list[float] = []
    flow.action(named("notify", lambda event, api: seen.append(event.callout.deadline)))
    request, began = request_of(), time.monotonic
    request.environ["wsgi.input"] = Slow(request.environ["wsgi.input"].read())

    flow.handle_callout(request)

    assert seen == [began + 5.5]
    assert time.monotonic > began


# Failures


def test_every_action_runs_whatever_the_others_do_and_the_worst_is_the_answer(flow: Flow, call: Call) -> None:
    ran: list[str] = []
    flow.action(named("rejected", raising(Rejected("refused"))))
    flow.action(named("down", raising(Unavailable("mail_unavailable", "down", retry_after=9))))
    flow.action(named("good", lambda event, api: ran.append("good")))

    status, body = call()

    assert (status, body["error"]["code"]) == (503, "mail_unavailable")
    assert [action["status"] for action in body["actions"]] == ["failed", "failed", "done"]
    assert ran == ["good"]


def test_retry_runs_only_what_did_not_succeed(flow: Flow, call: Call) -> None:
    runs = {"good": 0, "bad": 0}

    def good(event: Event, api: Api) -> Result:
        runs["good"] += 1
        return Result("sent", message_id="m")

    def bad(event: Event, api: Api) -> Result:
        runs["bad"] += 1
        if runs["bad"] == 1:
            raise Unavailable("mail_unavailable", "down")
        return Result("done")

    flow.action(good)
    flow.action(bad)

    assert call()[0] == 503
    status, body = call()
    assert (status, body["status"], body["message_id"]) == (200, "sent", "m")
    assert runs == {"good": 1, "bad": 2}
    assert call()[1]["status"] == "duplicate"
    assert runs == {"good": 1, "bad": 2}


def test_retry_with_a_fresh_timestamp_and_signature_is_the_same_callout(flow: Flow, call: Call, time: FakeTime) -> None:
    flow.action(named("notify", lambda event, api: None))
    call()
    time.advance(5)

    assert call()[1]["status"] == "duplicate"
    assert call(webhook_id="msg_2")[1]["status"] == "done"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"{ADDRESS} api-key-value"),
        SystemExit(3),
        RecursionError(),
        TimeoutError(),
        MemoryError(),
        KeyError("k"),
    ],
)
def test_unforeseen_error_is_internal_with_nothing_of_its_text_outside(
    flow: Flow, call: Call, lines: Lines, error: BaseException
) -> None:
    flow.action(named("bad", raising(error)))
    flow.action(named("good", lambda event, api: Result("sent", reason=event.secrets.SENDGRID_API_KEY[:0] or None)))

    status, body = call()

    assert (status, body["error"]["code"]) == (500, "internal")
    assert ADDRESS not in json.dumps(body)
    assert [action["status"] for action in body["actions"]] == ["failed", "sent"]
    told = lines()
    assert type(error).__name__ in told[0]["message"]
    assert ADDRESS not in json.dumps(told)


def test_secret_in_an_unforeseen_error_is_masked_in_the_log(flow: Flow, call: Call, lines: Lines) -> None:
    def act(event: Event, api: Api) -> None:
        raise ValueError(f"Invalid header value: Bearer {event.secrets.SENDGRID_API_KEY}")

    flow.action(act)
    call()

    assert "api-key-value" not in json.dumps(lines())


def test_4xx_that_an_action_raises_is_an_answer_too(flow: Flow, call: Call) -> None:
    flow.action(named("notify", raising(InvalidCallout("own", 418, "an Action's own"))))

    assert call()[0] == 418


# The order of the checks


@pytest.mark.parametrize(
    ("spoil", "status", "code"),
    [
        (
            {"REQUEST_METHOD": "GET", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "99999999"},
            405,
            "method_not_allowed",
        ),
        ({"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "99999999"}, 415, "unsupported_media_type"),
        ({"CONTENT_LENGTH": "99999999", "HTTP_WEBHOOK_ID": ""}, 413, "too_large"),
        ({"HTTP_WEBHOOK_ID": ""}, 401, "invalid_signature"),
        ({"HTTP_WEBHOOK_TIMESTAMP": "1"}, 401, "invalid_signature"),
        ({"HTTP_WEBHOOK_SIGNATURE": "v1,AAAA"}, 401, "invalid_signature"),
        ({}, 400, "invalid_json"),
    ],
)
def test_checks_have_their_order(
    flow: Flow, request_of: Callable[..., Request], spoil: dict[str, str], status: int, code: str
) -> None:
    made = request_of(b"no json")
    made.environ.update(spoil)

    response = flow.handle_callout(Request(made.environ))

    assert response.is_streamed is (status in (405, 415, 413))
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)
    assert response.status_code == status
    assert parsed(response)[1]["error"]["code"] == code


@pytest.mark.parametrize("path", ["/", "/anything", "/deliver/notify"])
def test_any_path_is_served_alike(flow: Flow, call: Call, path: str) -> None:
    flow.action(named("notify", lambda event, api: None))

    assert call(path=path)[0] == 200


def test_every_401_is_alike_from_outside_and_has_its_cause_in_the_log(
    make_settings: MakeSettings, time: FakeTime, request_of: Callable[..., Request], lines: Lines
) -> None:
    settings = make_settings(ALLOWED_TENANTS="other")
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    spoiled: list[dict[str, Any]] = [
        {"headers": {"webhook-id": ""}},
        {"headers": {"webhook-signature": "v1,AAAA"}},
        {"timestamp": int(time.now) - 301},
        {"keys": ("whsec_" + "A" * 32,)},
        {},
    ]

    answers = [flow.handle_callout(request_of(**how)) for how in spoiled]

    assert {(answer.status_code, answer.get_data()) for answer in answers} == {
        (401, b'{"error": {"code": "invalid_signature", "message": "the signature does not hold"}}\n')
    }
    assert {(line["severity"], line["cause"]) for line in lines()} == {
        ("WARNING", "webhook-id missing"),
        ("WARNING", "no signature of a known key"),
        ("WARNING", "webhook-timestamp is 301 s old, tolerated: 300 s and 300 s ahead"),
        ("WARNING", "the tenant is not among ALLOWED_TENANTS"),
    }


@pytest.mark.parametrize("allowed", ["acme", "other, acme"])
def test_allowed_tenant_may_call(
    make_settings: MakeSettings, time: FakeTime, request_of: Callable[..., Request], allowed: str
) -> None:
    settings = make_settings(ALLOWED_TENANTS=allowed)
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    flow.action(named("notify", lambda event, api: None))

    assert flow.handle_callout(request_of()).status_code == 200
    assert flow.handle_callout(request_of({"user": {}})).status_code == 401


def test_event_that_cannot_be_acted_on_is_refused_with_the_path_and_no_value(call: Call, lines: Lines) -> None:
    status, body = call({"user": {"email": 12345}})

    assert (status, body["error"]["code"]) == (400, "invalid_event")
    assert body["error"]["message"] == "event.user.email: expected a string, got a number"
    assert "12345" not in json.dumps(lines())


@pytest.mark.parametrize("depth", [900, 60_000])
def test_event_nested_too_deep_for_us_is_refused(call: Call, depth: int) -> None:
    status, body = call(b'{"event":{"user":{},"x":' + b"[" * depth + b"]" * min(depth, 2000) + b"}}")

    assert (status, body["error"]["code"]) == (400, "invalid_json")


def test_recursion_while_the_event_is_read_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("runtime.event.parse", fail)

    assert call()[1]["error"] == {"code": "invalid_json", "message": "body: nested too deep"}


def test_unforeseen_error_of_our_own_is_internal(call: Call, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("inner text")

    monkeypatch.setattr("runtime.event.parse", fail)

    status, body = call()
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "inner text" not in json.dumps(body)
    (line,) = lines()
    assert (line["severity"], line["code"]) == ("ERROR", "internal")
    assert "inner text" in line["message"]


def test_signing_key_that_cannot_be_read_is_503(
    settings: Settings, time: FakeTime, request_of: Callable[..., Request]
) -> None:
    def down(source: str) -> str:
        raise TemporaryError("503")

    flow = Flow(settings, secrets=SecretCache(settings, fetch=down, clock=time.clock), clock=time.clock)
    response = flow.handle_callout(request_of())

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert parsed(response)[1]["error"]["code"] == "secret_unavailable"


def test_secrets_are_the_settings_own_where_none_are_given(
    make_settings: MakeSettings, time: FakeTime, request_of: Callable[..., Request], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(SIGNING_KEY + "\n")
    flow = Flow(make_settings(CALLOUT_SIGNING_KEY_SECRET=str(key)), clock=time.clock)
    flow.action(named("notify", lambda event, api: None))

    assert flow.handle_callout(request_of()).status_code == 200


# At the same time


def test_same_callout_at_the_same_time_runs_once(flow: Flow, request_of: Callable[..., Request]) -> None:
    running, let = threading.Event(), threading.Event()
    runs: list[str] = []

    def notify(event: Event, api: Api) -> Result:
        runs.append(event.callout.id)
        running.set()
        assert let.wait(60)
        return Result("sent", message_id="m")

    flow.action(notify)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flow.handle_callout, request_of())
        assert running.wait(60)
        flow._clock = FakeTime(monotonic=-100).clock  # the second one's deadline has passed
        second = flow.handle_callout(request_of())
        let.set()

        assert parsed(first.result(60))[1]["status"] == "sent"
    assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
    assert parsed(second)[1]["error"]["code"] == "in_progress"
    assert runs == ["msg_1"]


# The log


def test_lines_of_a_callout_tell_whose_it_is_without_the_address(
    flow: Flow, call: Call, lines: Lines, console: Console
) -> None:
    def notify(event: Event, api: Api) -> Result:
        print(f"mailing {event.user.email}", end="")
        return skipped("no_email")

    flow.action(notify)
    with console():
        call(headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})

    printed, outcome = lines()
    assert printed["message"] == f"mailing user {USER}"
    for line in (printed, outcome):
        assert line["callout"] == "msg_1"
        assert line["user"] == USER
        assert len(line["idempotency_key"]) == 64
        assert line["reference"].replace("-", "") == line["idempotency_key"][:12].upper()
    assert (outcome["message"], outcome["reason"]) == ("notify: skipped", "no_email")
    assert "trace" not in "".join(outcome)  # no project is set


def test_trace_is_in_every_line_where_the_project_is_known(
    make_settings: MakeSettings, request_of: Callable[..., Request], lines: Lines
) -> None:
    Flow(make_settings(GOOGLE_CLOUD_PROJECT="p")).handle_callout(
        request_of(headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "webhook-id": ""})
    )

    (line,) = lines()
    assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{'a' * 32}"


def test_user_without_ids_has_a_hash_too(flow: Flow, call: Call, lines: Lines) -> None:
    flow.action(named("notify", lambda event, api: None))
    call({"user": {}})

    assert lines()[0]["user"] == sha256(b"/").hexdigest()[:16]


def test_oddities_are_warnings_and_the_notice_goes_out(flow: Flow, call: Call, lines: Lines) -> None:
    flow.action(named("notify", lambda event, api: None))

    assert call(b'{"event":{"user":{"username":5},"tenant":[]},"sandbox":"yes"}')[0] == 200
    assert [(line["severity"], line["code"], line["message"].split(":")[0]) for line in lines()[:-1]] == [
        ("WARNING", "unexpected_field_type", "sandbox"),
        ("WARNING", "unexpected_field_type", "event.tenant"),
        ("WARNING", "unexpected_field_type", "event.user.username"),
    ]


# The start


def test_start_gives_the_settings_and_installs_the_log(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    installed: list[bool] = []
    monkeypatch.setattr(log, "install", lambda: installed.append(True))

    assert start().sender_email == "security@example.com"
    assert installed


def test_start_with_faults_tells_each_in_a_line_and_ends_the_process(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, console: Console, lines: Lines
) -> None:
    for name, value in {**environment, "SENDER_EMAIL": "", "THREADS": "x"}.items():
        monkeypatch.setenv(name, value)

    with console(), pytest.raises(SystemExit) as caught:
        start()

    assert caught.value.code == 1
    assert [(line["severity"], line["setting"]) for line in lines()] == [
        ("CRITICAL", "SENDER_EMAIL"),
        ("CRITICAL", "THREADS"),
    ]


# Queue mode, public side


QUEUE = "projects/p/locations/l/queues/q"
TASKS = f"http://127.0.0.1:1/v2/{QUEUE}/tasks"


@pytest.fixture
def queueing(make_settings: MakeSettings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    settings = make_settings(
        DELIVERY="queue",
        TASKS_QUEUE=QUEUE,
        DELIVER_URL="https://deliver.example.com",
        DELIVER_INVOKER="i@example.com",
        CLOUD_TASKS_ENDPOINT="http://127.0.0.1:1",
    )
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    flow.action(named("first", raising(AssertionError("an Action ran on the public side"))))
    flow.action(named("second", raising(AssertionError("an Action ran on the public side"))))
    return flow


@pytest.fixture
def tasks() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def test_each_action_becomes_a_task(
    queueing: Flow, tasks: responses.RequestsMock, request_of: Callable[..., Request]
) -> None:
    tasks.post(TASKS, json={})

    status, body = parsed(queueing.handle_callout(request_of()))

    assert (status, body["status"]) == (202, "queued")
    urls = [json.loads(call.request.body or "")["task"]["httpRequest"]["url"] for call in tasks.calls]
    assert urls == ["https://deliver.example.com/first", "https://deliver.example.com/second"]
    again = parsed(queueing.handle_callout(request_of()))
    assert (again[0], again[1]["status"]) == (200, "duplicate")
    assert len(tasks.calls) == 2


def test_what_another_instance_queued_is_a_duplicate(
    queueing: Flow, tasks: responses.RequestsMock, request_of: Callable[..., Request]
) -> None:
    tasks.post(TASKS, status=409)

    status, body = parsed(queueing.handle_callout(request_of()))

    assert (status, body["status"]) == (200, "duplicate")


def test_queue_that_is_down_is_503_and_the_retry_queues_what_is_missing(
    queueing: Flow, tasks: responses.RequestsMock, request_of: Callable[..., Request], time: FakeTime
) -> None:
    tasks.post(TASKS, json={})
    for _ in range(5):
        tasks.post(TASKS, status=503)
    tasks.post(TASKS, json={})

    status, body = parsed(queueing.handle_callout(request_of()))
    assert (status, body["error"]["code"]) == (503, "queue_unavailable")
    assert parsed(queueing.handle_callout(request_of()))[1]["status"] == "queued"
    named_tasks = [json.loads(call.request.body or "")["task"]["name"].rpartition("-")[2] for call in tasks.calls]
    assert named_tasks == ["first", *["second"] * 6]


# Queue mode, private side


def test_deliver_runs_the_action_of_the_path_alone(flow: Flow, deliver: Call) -> None:
    ran: list[str] = []
    flow.action(named("first", lambda event, api: ran.append("first")))
    flow.action(named("second", lambda event, api: ran.append("second")))

    status, body = deliver("second")

    assert (status, [action["name"] for action in body["actions"]]) == (200, ["second"])
    assert deliver("second")[1]["status"] == "duplicate"
    assert deliver("first")[1]["status"] == "done"
    assert ran == ["second", "first"]


def test_deliver_has_its_own_deadline(flow: Flow, deliver: Call, time: FakeTime) -> None:
    seen: list[float] = []
    flow.action(named("notify", lambda event, api: seen.append(event.callout.deadline)))

    deliver("notify")

    assert seen == [time.monotonic + 45]


@pytest.mark.parametrize("name", ["", "other", "notify/more"])
def test_action_that_this_revision_does_not_have_is_tried_again(
    flow: Flow, deliver: Call, name: str, lines: Lines
) -> None:
    flow.action(named("notify", lambda event, api: None))

    status, body = deliver(name)

    assert (status, body["error"]["code"]) == (500, "unknown_action")
    assert lines()[-1]["cause"] == "the flow has: notify"


def test_deliver_takes_a_signature_of_a_month_and_no_strangers(flow: Flow, deliver: Call, time: FakeTime) -> None:
    flow.action(named("notify", lambda event, api: None))
    now = int(time.now)

    assert deliver("notify", timestamp=now - MAX_TASK_AGE_SECONDS)[0] == 200
    assert deliver("notify", timestamp=now - MAX_TASK_AGE_SECONDS - 1)[0] == 401
    assert deliver("notify", timestamp=now + 301)[0] == 401
    assert deliver("notify", headers={"webhook-signature": "v1,AAAA"})[0] == 401
    assert MAX_TASK_AGE_SECONDS == 31 * 86_400


def test_refused_recipient_ends_the_task_with_an_error_line(flow: Flow, deliver: Call, lines: Lines) -> None:
    flow.action(named("notify", raising(Rejected("no such address", recipient_rejected=True))))

    status, body = deliver("notify")

    assert (status, body["status"], body["reason"]) == (200, "abandoned", "recipient_refused")
    assert lines()[-1]["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Rejected("the sender is not verified"), 502),
        (Unavailable("mail_unavailable", "down"), 503),
        (NoticeError("internal", "m"), 500),
        (ValueError(), 500),
    ],
)
def test_what_a_repetition_may_mend_is_tried_again_for_ever(
    flow: Flow, deliver: Call, error: Exception, status: int
) -> None:
    flow.action(named("notify", raising(error)))

    assert [deliver("notify")[0] for _ in range(MAX_TIMEOUTS + 2)] == [status] * (MAX_TIMEOUTS + 2)


def test_time_outs_that_may_hide_an_acceptance_are_capped_for_each_notice(flow: Flow, deliver: Call) -> None:
    flow.action(named("notify", raising(Unavailable("mail_unavailable", "slow", maybe_accepted=True))))

    assert [deliver("notify")[0] for _ in range(5)] == [503, 503, 503, 503, 200]
    assert deliver("notify", webhook_id="msg_2")[0] == 503


def test_same_rejection_on_the_public_side_in_direct_mode_is_502(flow: Flow, call: Call) -> None:
    flow.action(named("notify", raising(Rejected("no such address", recipient_rejected=True))))

    assert call()[0] == 502


def test_counts_of_time_outs_take_bounded_room() -> None:
    timeouts = _TimeoutCounter()
    for number in range(10_001):
        timeouts.count(str(number))

    assert timeouts.count("1") == 2
    assert timeouts.count("0") == 1


# Through the host


MAIN = """
from runtime import Flow, Result, start

flow = Flow(start())

@flow.action
def notify(event, api):
    print("to", event.user.email)
    return Result("sent")
"""


@pytest.fixture
def client(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A client of the flow under the real host, whose clock is the real one."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "key").write_text(SIGNING_KEY)
    for name, value in {**environment, "CALLOUT_SIGNING_KEY_SECRET": str(tmp_path / "key")}.items():
        monkeypatch.setenv(name, value)
    create_app: Any = functions_framework.create_app
    return lambda: create_app("notify", str(tmp_path / "main.py")).test_client()


def test_host_serves_a_flow(client: Callable[[], Any], sign: Sign, lines: Lines, console: Console) -> None:
    body = json.dumps({"event": EVENT}).encode()
    headers = sign(body, timestamp=int(CLOCK.now()))

    with console():
        response = client().post("/any/path", data=body, content_type="application/json", headers=headers)

    assert (response.status_code, response.get_json()["status"]) == (200, "sent")
    assert [line["message"] for line in lines()] == [f"to user {USER}", "notify: sent"]


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"CONTENT_TYPE": "text/plain"}, 415),
        ({"CONTENT_TYPE": "application/json", "HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "200000000"}, 413),
    ],
)
def test_host_does_not_read_a_body_that_we_leave_unread(
    client: Callable[[], Any], console: Console, environ: dict[str, str], status: int
) -> None:
    class Watched(BytesIO):
        reads = 0

        def read(self, *_: Any) -> bytes:
            self.reads += 1
            return b""

    body = Watched()
    with console():
        response = client().post("/", input_stream=body, environ_overrides=environ)

    assert (response.status_code, body.reads) == (status, 0)
