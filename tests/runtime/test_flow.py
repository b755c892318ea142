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
from runtime.flow import MAX_TASK_AGE_SECONDS, MAX_TIMEOUTS
from runtime.secret_sources import TemporaryError
from runtime.secrets import SecretCache
from settings import Settings
from tests.conftest import SIGNING_KEY, Console, FakeTime, Lines, MakeSettings, Sign

ADDRESS = "j+smith@example.com"
EVENT: dict[str, Any] = {"tenant": {"id": "acme"}, "user": {"user_id": "auth0|1", "email": ADDRESS}}
USER = sha256(b"acme/auth0|1").hexdigest()[:16]

ActionBody = Callable[[Event, Api], Any]
Call = Callable[..., tuple[int, dict[str, Any]]]


def fetch(source: str) -> str:
    return SIGNING_KEY if source.endswith("callout") else "api-key-value"


@pytest.fixture
def flow(settings: Settings, time: FakeTime) -> Flow:
    return Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)


def named(name: str, action: ActionBody) -> ActionBody:
    action.__name__ = name
    return action


def raising(error: BaseException) -> ActionBody:
    def act(event: Event, api: Api) -> Result:
        raise error

    return act


@pytest.fixture
def make_request(sign: Sign) -> Callable[..., Request]:
    """Return a function that builds a signed POST of an event or of raw bytes; `headers` override the valid ones."""

    def make(body: bytes | dict[str, Any] = EVENT, *, path: str = "/", headers: Any = None, **signing: Any) -> Request:
        raw = json.dumps({"event": body}).encode() if isinstance(body, dict) else body
        signed = {**sign(raw, **signing), **(headers or {})}
        builder = EnvironBuilder(
            path=path, method="POST", data=raw, content_type="application/json", headers=list(signed.items())
        )
        return Request(builder.get_environ())

    return make


def parsed(response: Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, json.loads(response.get_data())


@pytest.fixture
def call(flow: Flow, make_request: Callable[..., Request]) -> Call:
    return lambda *body, **options: parsed(flow.handle_callout(make_request(*body, **options)))


@pytest.fixture
def deliver(flow: Flow, make_request: Callable[..., Request]) -> Call:
    return lambda name, *body, **options: parsed(flow.deliver(make_request(*body, path=f"/{name}", **options)))


# Arguments and return values of Actions


def test_an_action_gets_the_event_with_its_secrets_and_the_api(flow: Flow, call: Call) -> None:
    seen: list[object] = []

    @flow.action
    def notify(event: Event, api: Api) -> Result:
        seen.extend([event.user.email, event.secrets.SENDGRID_API_KEY, event.callout.id, api.cache.get("k")])
        return Result("sent", message_id="m")

    status, body = call()

    assert (status, body["status"], body["message_id"], body["id"]) == (200, "sent", "m", "msg_1")
    assert body["actions"] == [{"name": "notify", "status": "sent", "duration_ms": 0.0}]
    assert seen == [ADDRESS, "api-key-value", "msg_1", None]


def test_a_registered_action_becomes_a_plain_function_of_the_request(
    flow: Flow, make_request: Callable[..., Request]
) -> None:
    @flow.action
    def notify(event: Event, api: Api) -> Result:
        """Do it."""
        return Result("sent")

    assert isinstance(notify, FunctionType)
    assert (notify.__name__, notify.__doc__) == ("notify", "Do it.")
    assert notify(make_request()).status_code == 200


def test_a_second_action_of_the_same_name_is_rejected_at_startup(flow: Flow) -> None:
    flow.action(named("notify", lambda event, api: None))

    with pytest.raises(TypeError, match="two Actions named notify"):
        flow.action(named("notify", lambda event, api: None))


def test_an_async_action_is_rejected_at_startup(flow: Flow) -> None:
    async def notify(event: Event, api: Api) -> Result:
        return Result("sent")

    async_action: Any = notify
    with pytest.raises(TypeError, match="notify is async"):
        flow.action(async_action)


@pytest.mark.parametrize("name", ["benachrichtige_über_slack", "通知", "<lambda>", "a.b", "x" * 401])
def test_an_action_whose_name_cannot_be_part_of_a_task_id_is_rejected_at_startup(flow: Flow, name: str) -> None:
    with pytest.raises(TypeError, match="use ASCII letters, digits, and underscores"):
        flow.action(named(name, lambda event, api: None))


@pytest.mark.parametrize("returned", [None, True, "sent", {"status": "sent"}])
def test_an_action_that_returns_no_result_is_done(flow: Flow, call: Call, returned: object) -> None:
    flow.action(named("notify", lambda event, api: returned))

    assert call()[1]["status"] == "done"
    assert call()[1]["status"] == "duplicate"


def test_actions_run_in_order_and_share_the_cache(flow: Flow, call: Call) -> None:
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


def test_durations_are_in_milliseconds(flow: Flow, call: Call, time: FakeTime) -> None:
    flow.action(named("a", lambda event, api: time.advance(0.25)))
    flow.action(named("b", lambda event, api: time.advance(0.5)))

    body = call()[1]

    assert body["stats"] == {"total_ms": 750.0, "network_ms": 0.0}
    assert [action["duration_ms"] for action in body["actions"]] == [250.0, 500.0]


def test_the_deadline_counts_from_the_start_of_the_request(
    flow: Flow, make_request: Callable[..., Request], time: FakeTime
) -> None:
    class Slow(BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            time.advance(2)
            return super().readinto(buffer)

    seen: list[float] = []
    flow.action(named("notify", lambda event, api: seen.append(event.callout.deadline)))
    request, started = make_request(), time.monotonic
    request.environ["wsgi.input"] = Slow(request.environ["wsgi.input"].read())

    flow.handle_callout(request)

    assert seen == [started + 5.5]
    assert time.monotonic > started


# Failures


def test_every_action_runs_and_the_worst_error_is_the_response(flow: Flow, call: Call) -> None:
    ran: list[str] = []
    flow.action(named("rejected", raising(Rejected("rejected"))))
    flow.action(named("down", raising(Unavailable("mail_unavailable", "down", retry_after=9))))
    flow.action(named("works", lambda event, api: ran.append("works")))

    status, body = call()

    assert (status, body["error"]["code"]) == (503, "mail_unavailable")
    assert [action["status"] for action in body["actions"]] == ["failed", "failed", "done"]
    assert ran == ["works"]


def test_a_retry_runs_only_the_actions_that_did_not_succeed(flow: Flow, call: Call) -> None:
    runs = {"works": 0, "fails_once": 0}

    def works(event: Event, api: Api) -> Result:
        runs["works"] += 1
        return Result("sent", message_id="m")

    def fails_once(event: Event, api: Api) -> Result:
        runs["fails_once"] += 1
        if runs["fails_once"] == 1:
            raise Unavailable("mail_unavailable", "down")
        return Result("done")

    flow.action(works)
    flow.action(fails_once)

    assert call()[0] == 503
    status, body = call()
    assert (status, body["status"], body["message_id"]) == (200, "sent", "m")
    assert runs == {"works": 1, "fails_once": 2}
    assert call()[1]["status"] == "duplicate"
    assert runs == {"works": 1, "fails_once": 2}


@pytest.mark.parametrize("fails", ["runtime.log.flush_console", "runtime.results.Outcome.write_log"])
@pytest.mark.parametrize("caller", ["call", "deliver"])
def test_a_success_is_recorded_before_it_is_logged(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, caller: str, fails: str
) -> None:
    """Whatever happens to the log, a retry must not send the email again."""
    arguments = {"call": (), "deliver": ("notify",)}[caller]
    respond: Call = request.getfixturevalue(caller)
    sent: list[str | None] = []
    flow.action(named("notify", lambda event, api: sent.append(event.user.email)))
    with monkeypatch.context() as patched:
        patched.setattr(fails, lambda *_: 1 / 0)
        assert respond(*arguments)[0] == 500

    assert respond(*arguments)[1]["status"] == "done"
    assert sent == [ADDRESS]


def test_a_retry_with_a_fresh_timestamp_and_signature_is_a_duplicate(flow: Flow, call: Call, time: FakeTime) -> None:
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
def test_an_unexpected_error_is_internal_and_its_text_is_not_exposed(
    flow: Flow, call: Call, lines: Lines, error: BaseException
) -> None:
    flow.action(named("fails", raising(error)))
    flow.action(named("works", lambda event, api: Result("sent", reason=event.secrets.SENDGRID_API_KEY[:0] or None)))

    status, body = call()

    assert (status, body["error"]["code"]) == (500, "internal")
    assert ADDRESS not in json.dumps(body)
    assert [action["status"] for action in body["actions"]] == ["failed", "sent"]
    logged = lines()
    assert type(error).__name__ in logged[0]["message"]
    assert ADDRESS not in json.dumps(logged)


def test_a_secret_in_an_unexpected_error_is_redacted_in_the_log(flow: Flow, call: Call, lines: Lines) -> None:
    def act(event: Event, api: Api) -> None:
        raise ValueError(f"Invalid header value: Bearer {event.secrets.SENDGRID_API_KEY}")

    flow.action(act)
    call()

    assert "api-key-value" not in json.dumps(lines())


def test_a_4xx_error_from_an_action_is_the_response(flow: Flow, call: Call) -> None:
    flow.action(named("notify", raising(InvalidCallout("own", 418, "an Action's own"))))

    assert call()[0] == 418


# The order of the checks


@pytest.mark.parametrize(
    ("invalid", "status", "code"),
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
def test_the_checks_run_in_order(
    flow: Flow, make_request: Callable[..., Request], invalid: dict[str, str], status: int, code: str
) -> None:
    request = make_request(b"no json")
    request.environ.update(invalid)

    response = flow.handle_callout(Request(request.environ))

    assert response.is_streamed is (status in (405, 415, 413))
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)
    assert response.status_code == status
    assert parsed(response)[1]["error"]["code"] == code


@pytest.mark.parametrize("path", ["/", "/anything", "/deliver/notify"])
def test_every_path_is_handled_the_same(flow: Flow, call: Call, path: str) -> None:
    flow.action(named("notify", lambda event, api: None))

    assert call(path=path)[0] == 200


def test_all_401_responses_are_identical_and_their_causes_are_logged(
    make_settings: MakeSettings, time: FakeTime, make_request: Callable[..., Request], lines: Lines
) -> None:
    settings = make_settings(ALLOWED_TENANTS="other")
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    invalid: list[dict[str, Any]] = [
        {"headers": {"webhook-id": ""}},
        {"headers": {"webhook-signature": "v1,AAAA"}},
        {"timestamp": int(time.now) - 301},
        {"keys": ("whsec_" + "A" * 32,)},
        {},
    ]

    responses = [flow.handle_callout(make_request(**options)) for options in invalid]

    assert {(response.status_code, response.get_data()) for response in responses} == {
        (401, b'{"error": {"code": "invalid_signature", "message": "invalid signature"}}\n')
    }
    assert {(line["severity"], line["cause"]) for line in lines()} == {
        ("WARNING", "missing webhook-id"),
        ("WARNING", "no signature matches a known key"),
        ("WARNING", "webhook-timestamp is 301 s old; allowed: from -300 to 300 s"),
        ("WARNING", "the tenant isn't in ALLOWED_TENANTS"),
    }


@pytest.mark.parametrize("allowed", ["acme", "other, acme"])
def test_an_allowed_tenant_can_call(
    make_settings: MakeSettings, time: FakeTime, make_request: Callable[..., Request], allowed: str
) -> None:
    settings = make_settings(ALLOWED_TENANTS=allowed)
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    flow.action(named("notify", lambda event, api: None))

    assert flow.handle_callout(make_request()).status_code == 200
    assert flow.handle_callout(make_request({"user": {}})).status_code == 401


def test_an_event_that_cannot_be_acted_on_is_rejected_with_the_path_and_no_value(call: Call, lines: Lines) -> None:
    status, body = call({"user": {"email": 12345}})

    assert (status, body["error"]["code"]) == (400, "invalid_event")
    assert body["error"]["message"] == "event.user.email: expected a string, got a number"
    assert "12345" not in json.dumps(lines())


@pytest.mark.parametrize("depth", [900, 60_000])
def test_a_deeply_nested_event_is_rejected(call: Call, depth: int) -> None:
    status, body = call(b'{"event":{"user":{},"x":' + b"[" * depth + b"]" * min(depth, 2000) + b"}}")

    assert (status, body["error"]["code"]) == (400, "invalid_json")


def test_a_recursion_error_while_parsing_the_event_is_rejected(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("runtime.event.parse", fail)

    assert call()[1]["error"] == {"code": "invalid_json", "message": "body: nested too deeply"}


def test_an_unexpected_error_in_the_runtime_is_internal(
    call: Call, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("inner text")

    monkeypatch.setattr("runtime.event.parse", fail)

    status, body = call()
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "inner text" not in json.dumps(body)
    (line,) = lines()
    assert (line["severity"], line["code"]) == ("ERROR", "internal")
    assert "inner text" in line["message"]


def test_an_unreadable_signing_key_is_503(
    settings: Settings, time: FakeTime, make_request: Callable[..., Request]
) -> None:
    def down(source: str) -> str:
        raise TemporaryError("503")

    flow = Flow(settings, secrets=SecretCache(settings, fetch=down, clock=time.clock), clock=time.clock)
    response = flow.handle_callout(make_request())

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert parsed(response)[1]["error"]["code"] == "secret_unavailable"


def test_secrets_are_read_as_the_settings_specify_by_default(
    make_settings: MakeSettings, time: FakeTime, make_request: Callable[..., Request], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(SIGNING_KEY + "\n")
    flow = Flow(make_settings(CALLOUT_SIGNING_KEY_SECRET=str(key)), clock=time.clock)
    flow.action(named("notify", lambda event, api: None))

    assert flow.handle_callout(make_request()).status_code == 200


# Concurrency


def test_concurrent_duplicates_run_once(flow: Flow, make_request: Callable[..., Request]) -> None:
    running, release = threading.Event(), threading.Event()
    runs: list[str] = []

    def notify(event: Event, api: Api) -> Result:
        runs.append(event.callout.id)
        running.set()
        assert release.wait(60)
        return Result("sent", message_id="m")

    flow.action(notify)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flow.handle_callout, make_request())
        assert running.wait(60)
        flow._clock = FakeTime(monotonic=-100).clock  # so that the second request's deadline has passed
        second = flow.handle_callout(make_request())
        release.set()

        assert parsed(first.result(60))[1]["status"] == "sent"
    assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
    assert parsed(second)[1]["error"]["code"] == "in_progress"
    assert runs == ["msg_1"]


# The log


def test_log_lines_identify_the_user_without_the_address(
    flow: Flow, call: Call, lines: Lines, console: Console
) -> None:
    def notify(event: Event, api: Api) -> Result:
        print(f"emailing {event.user.email}", end="")
        return skipped("no_email")

    flow.action(notify)
    with console():
        call(headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})

    printed, outcome = lines()
    assert printed["message"] == f"emailing user {USER}"
    for line in (printed, outcome):
        assert line["callout"] == "msg_1"
        assert line["user"] == USER
        assert len(line["idempotency_key"]) == 64
        assert line["reference"].replace("-", "") == line["idempotency_key"][:12].upper()
    assert (outcome["message"], outcome["reason"]) == ("notify: skipped", "no_email")
    assert "trace" not in "".join(outcome)  # no project is set


def test_every_line_has_the_trace_if_the_project_is_known(
    make_settings: MakeSettings, make_request: Callable[..., Request], lines: Lines
) -> None:
    Flow(make_settings(GOOGLE_CLOUD_PROJECT="p")).handle_callout(
        make_request(headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "webhook-id": ""})
    )

    (line,) = lines()
    assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{'a' * 32}"


def test_a_user_without_an_id_also_has_a_hash(flow: Flow, call: Call, lines: Lines) -> None:
    flow.action(named("notify", lambda event, api: None))
    call({"user": {}})

    assert lines()[0]["user"] == sha256(b"/").hexdigest()[:16]


def test_unexpected_field_types_are_warnings_and_the_action_runs(flow: Flow, call: Call, lines: Lines) -> None:
    flow.action(named("notify", lambda event, api: None))

    assert call(b'{"event":{"user":{"username":5},"tenant":[]},"sandbox":"yes"}')[0] == 200
    assert [(line["severity"], line["code"], line["message"].split(":")[0]) for line in lines()[:-1]] == [
        ("WARNING", "unexpected_field_type", "sandbox"),
        ("WARNING", "unexpected_field_type", "event.tenant"),
        ("WARNING", "unexpected_field_type", "event.user.username"),
    ]


# Startup


def test_start_returns_the_settings_and_installs_the_log(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    installed: list[bool] = []
    monkeypatch.setattr(log, "install", lambda: installed.append(True))

    assert start().sender_email == "security@example.com"
    assert installed


def test_start_validates_the_default_language_only_if_it_gets_the_available_ones(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, console: Console, lines: Lines
) -> None:
    for name, value in {**environment, "DEFAULT_LANGUAGE": "tlh"}.items():
        monkeypatch.setenv(name, value)

    with console():
        assert start().default_language == "tlh"
        with pytest.raises(SystemExit):
            start(is_language=["en", "de"].__contains__)

    (line,) = lines()
    assert (line["code"], line["setting"]) == ("invalid_setting", "DEFAULT_LANGUAGE")
    assert "isn't an available language" in line["message"]


def test_start_logs_each_settings_error_and_exits(
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


# Queue mode, public service


QUEUE = "projects/p/locations/l/queues/q"
TASKS = f"http://127.0.0.1:1/v2/{QUEUE}/tasks"


@pytest.fixture
def queue_flow(make_settings: MakeSettings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    settings = make_settings(
        DELIVERY="queue",
        TASKS_QUEUE=QUEUE,
        DELIVER_URL="https://deliver.example.com",
        DELIVER_INVOKER="i@example.com",
        CLOUD_TASKS_ENDPOINT="http://127.0.0.1:1",
    )
    flow = Flow(settings, secrets=SecretCache(settings, fetch=fetch, clock=time.clock), clock=time.clock)
    flow.action(named("first", raising(AssertionError("an Action ran in the public service"))))
    flow.action(named("second", raising(AssertionError("an Action ran in the public service"))))
    return flow


@pytest.fixture
def tasks() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def test_each_action_becomes_a_task(
    queue_flow: Flow, tasks: responses.RequestsMock, make_request: Callable[..., Request]
) -> None:
    tasks.post(TASKS, json={})

    status, body = parsed(queue_flow.handle_callout(make_request()))

    assert (status, body["status"]) == (202, "queued")
    urls = [json.loads(call.request.body or "")["task"]["httpRequest"]["url"] for call in tasks.calls]
    assert urls == ["https://deliver.example.com/first", "https://deliver.example.com/second"]
    duplicate = parsed(queue_flow.handle_callout(make_request()))
    assert (duplicate[0], duplicate[1]["status"]) == (200, "duplicate")
    assert len(tasks.calls) == 2


def test_a_task_queued_by_another_instance_is_a_duplicate(
    queue_flow: Flow, tasks: responses.RequestsMock, make_request: Callable[..., Request]
) -> None:
    tasks.post(TASKS, status=409)

    status, body = parsed(queue_flow.handle_callout(make_request()))

    assert (status, body["status"]) == (200, "duplicate")


def test_an_unavailable_queue_is_503_and_the_retry_queues_the_missing_tasks(
    queue_flow: Flow, tasks: responses.RequestsMock, make_request: Callable[..., Request], time: FakeTime
) -> None:
    tasks.post(TASKS, json={})
    for _ in range(5):
        tasks.post(TASKS, status=503)
    tasks.post(TASKS, json={})

    status, body = parsed(queue_flow.handle_callout(make_request()))
    assert (status, body["error"]["code"]) == (503, "queue_unavailable")
    assert parsed(queue_flow.handle_callout(make_request()))[1]["status"] == "queued"
    actions = [json.loads(call.request.body or "")["task"]["name"].rpartition("-")[2] for call in tasks.calls]
    assert actions == ["first", *["second"] * 6]


# Queue mode, private service


def test_deliver_runs_only_the_action_that_the_path_names(flow: Flow, deliver: Call) -> None:
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
def test_an_action_that_this_revision_does_not_have_is_retried(
    flow: Flow, deliver: Call, name: str, lines: Lines
) -> None:
    flow.action(named("notify", lambda event, api: None))

    status, body = deliver(name)

    assert (status, body["error"]["code"]) == (500, "unknown_action")
    assert lines()[-1]["cause"] == "the flow's Actions: notify"


def test_deliver_accepts_a_signature_of_up_to_31_days_and_no_unsigned_request(
    flow: Flow, deliver: Call, time: FakeTime
) -> None:
    flow.action(named("notify", lambda event, api: None))
    now = int(time.now)

    assert deliver("notify", timestamp=now - MAX_TASK_AGE_SECONDS)[0] == 200
    assert deliver("notify", timestamp=now - MAX_TASK_AGE_SECONDS - 1)[0] == 401
    assert deliver("notify", timestamp=now + 301)[0] == 401
    assert deliver("notify", headers={"webhook-signature": "v1,AAAA"})[0] == 401
    assert MAX_TASK_AGE_SECONDS == 31 * 86_400


def test_a_rejected_recipient_abandons_the_task_with_an_error_line(flow: Flow, deliver: Call, lines: Lines) -> None:
    flow.action(named("notify", raising(Rejected("no such address", recipient_rejected=True))))

    status, body = deliver("notify")

    assert (status, body["status"], body["reason"]) == (200, "abandoned", "recipient_refused")
    assert lines()[-1]["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Rejected("the sender isn't verified"), 502),
        (Unavailable("mail_unavailable", "down"), 503),
        (NoticeError("internal", "m"), 500),
        (ValueError(), 500),
    ],
)
def test_an_error_that_a_retry_can_fix_is_retried_indefinitely(
    flow: Flow, deliver: Call, error: Exception, status: int
) -> None:
    flow.action(named("notify", raising(error)))

    assert [deliver("notify")[0] for _ in range(MAX_TIMEOUTS + 2)] == [status] * (MAX_TIMEOUTS + 2)


def test_timeouts_that_may_hide_an_acceptance_are_capped_per_notice(flow: Flow, deliver: Call) -> None:
    flow.action(named("notify", raising(Unavailable("mail_unavailable", "slow", maybe_accepted=True))))

    assert [deliver("notify")[0] for _ in range(5)] == [503, 503, 503, 503, 200]
    assert deliver("notify", webhook_id="msg_2")[0] == 503


def test_a_rejected_recipient_in_direct_mode_is_502(flow: Flow, call: Call) -> None:
    flow.action(named("notify", raising(Rejected("no such address", recipient_rejected=True))))

    assert call()[0] == 502


def test_the_number_of_timeout_counts_is_bounded(flow: Flow) -> None:
    timeouts = flow._timeouts
    for number in range(10_001):
        next(timeouts(str(number)))

    assert next(timeouts("1")) == 2
    assert next(timeouts("0")) == 1


# With functions-framework


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
    """Return a function that creates a client of the flow under functions-framework, with the real clock."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "key").write_text(SIGNING_KEY)
    for name, value in {**environment, "CALLOUT_SIGNING_KEY_SECRET": str(tmp_path / "key")}.items():
        monkeypatch.setenv(name, value)
    create_app: Any = functions_framework.create_app
    return lambda: create_app("notify", str(tmp_path / "main.py")).test_client()


def test_functions_framework_serves_a_flow(
    client: Callable[[], Any], sign: Sign, lines: Lines, console: Console
) -> None:
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
def test_functions_framework_does_not_read_a_body_that_the_flow_leaves_unread(
    client: Callable[[], Any], console: Console, environ: dict[str, str], status: int
) -> None:
    class CountingBody(BytesIO):
        reads = 0

        def read(self, *_: Any) -> bytes:
            self.reads += 1
            return b""

    body = CountingBody()
    with console():
        response = client().post("/", input_stream=body, environ_overrides=environ)

    assert (response.status_code, body.reads) == (status, 0)
