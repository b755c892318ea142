import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import google.auth
import pytest
import requests
import responses
from google.auth.exceptions import DefaultCredentialsError, RefreshError

from runtime.cloud_tasks import CloudTasksClient
from runtime.errors import Unavailable
from runtime.http_client import HttpResponse, NoResponse
from runtime.signature import SignedHeaders
from settings import Settings
from tests.conftest import FakeTime, Lines, MakeSettings

QUEUE = "projects/p/locations/europe-west3/queues/notices"
EMULATOR = "http://127.0.0.1:1"
URL = f"{EMULATOR}/v2/{QUEUE}/tasks"
GOOGLE_URL = f"https://cloudtasks.googleapis.com/v2/{QUEUE}/tasks"
SIGNED = SignedHeaders("msg_1", 1_800_000_000, ("v1,a", "v1,b"))


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(
        DELIVERY="queue",
        TASKS_QUEUE=QUEUE,
        DELIVER_URL="https://deliver.example.com",
        DELIVER_INVOKER="invoker@p.iam.gserviceaccount.com",
        CLOUD_TASKS_ENDPOINT=EMULATOR,
    )


@pytest.fixture
def queue(settings: Settings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> CloudTasksClient:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    return CloudTasksClient(settings, clock=time.clock)


def add(queue: CloudTasksClient, time: FakeTime, left: float = 5.5) -> bool:
    return queue.add(SIGNED, b'{"event":{}}', key="0" * 64, action="notify", deadline=time.monotonic + left)


def test_task_carries_the_callouts_own_bytes_and_headers(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, json={})

    assert add(queue, time) is True
    (call,) = mock.calls
    assert json.loads(call.request.body or "") == {
        "task": {
            "name": f"{QUEUE}/tasks/{'0' * 64}-notify",
            "dispatchDeadline": "60s",
            "httpRequest": {
                "url": "https://deliver.example.com/notify",
                "httpMethod": "POST",
                "headers": {
                    "Content-Type": "application/json",
                    "webhook-id": "msg_1",
                    "webhook-timestamp": "1800000000",
                    "webhook-signature": "v1,a v1,b",
                },
                "body": base64.b64encode(b'{"event":{}}').decode(),
                "oidcToken": {
                    "serviceAccountEmail": "invoker@p.iam.gserviceaccount.com",
                    "audience": "https://deliver.example.com",
                },
            },
        }
    }
    assert "Authorization" not in call.request.headers


def test_name_that_is_taken_is_queued_already(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, status=409, json={"error": {"status": "ALREADY_EXISTS"}})

    assert add(queue, time) is False


@pytest.mark.parametrize("maybe", [{"body": requests.ConnectionError("reset")}, {"status": 500}, {"status": 503}])
def test_name_that_an_attempt_of_ours_may_have_taken_is_new(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime, maybe: dict[str, Any]
) -> None:
    mock.post(URL, **maybe)
    mock.post(URL, status=429)
    mock.post(URL, status=409)

    assert add(queue, time) is True


@pytest.mark.parametrize("status", [403, 404, 429])
def test_name_that_is_taken_after_a_refusal_is_not_ours(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime, status: int
) -> None:
    mock.post(URL, status=status)
    mock.post(URL, status=409)

    assert add(queue, time) is False


def test_attempt_without_an_answer_leaves_time_for_another(
    queue: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def hang(_url: str, _headers: object, _body: bytes, *, deadline: float) -> HttpResponse:
        given.append(deadline - time.monotonic)
        time.advance(deadline - time.monotonic)
        raise NoResponse("no answer", maybe_accepted=True)

    monkeypatch.setattr(queue._http, "post", hang)
    with pytest.raises(Unavailable):
        add(queue, time, left=5.5)

    assert given == [2.0, 2.0, pytest.approx(0.9)]


def test_failure_is_tried_again_and_told(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime, lines: Lines
) -> None:
    mock.post(URL, status=503, json={"error": {"status": "UNAVAILABLE", "message": "a text"}})
    mock.post(URL, json={})

    assert add(queue, time) is True
    assert time.slept == [0.2]
    assert [(line["severity"], line["message"]) for line in lines()] == [
        ("WARNING", "attempt 1: Cloud Tasks: 503 UNAVAILABLE")
    ]


def test_pause_is_less_by_up_to_a_random_half(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, status=503)
    mock.post(URL, json={})
    time.random = 0.5

    add(queue, time)

    assert time.slept == pytest.approx([0.15])


@pytest.mark.parametrize(("left", "attempts"), [(100, 5), (0.65, 3), (0, 1)])
def test_attempts_are_bounded_in_number_and_by_the_deadline(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime, left: float, attempts: int
) -> None:
    mock.post(URL, status=500)

    with pytest.raises(Unavailable) as caught:
        add(queue, time, left)

    assert (caught.value.code, caught.value.status) == ("queue_unavailable", 503)
    assert len(mock.calls) == (attempts if left else 0)
    assert time.slept == [0.2, 0.4, 0.8, 1.6][: attempts - 1]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"status": 403, "json": {"error": {"status": "PERMISSION_DENIED"}}}, "403 PERMISSION_DENIED"),
        ({"status": 404, "json": {"error": {"status": "NOT_FOUND"}}}, "404 NOT_FOUND"),
        ({"status": 429, "body": "<html>"}, "429 without a reason"),
        ({"status": 400, "json": {"error": "text"}}, "400 without a reason"),
        ({"status": 400, "json": []}, "400 without a reason"),
        ({"status": 400, "json": {}}, "400 without a reason"),
        ({"status": 400, "body": "[" * 60_000}, "400 without a reason"),
        ({"status": 302}, "302 without a reason"),
        ({"status": 201}, "201 without a reason"),
        ({"body": requests.ReadTimeout("slow")}, "ReadTimeout: slow"),
    ],
)
def test_whatever_is_no_new_task_is_unavailable_with_its_cause(
    mock: responses.RequestsMock, queue: CloudTasksClient, time: FakeTime, answer: dict[str, Any], cause: str
) -> None:
    mock.post(URL, **answer)

    with pytest.raises(Unavailable) as caught:
        add(queue, time, 0.01)

    assert caught.value.cause == f"Cloud Tasks: {cause}"
    assert "Cloud Tasks" not in caught.value.message


class Credentials:
    """What Google's library finds: a token that lasts until a test deadline it."""

    def __init__(self) -> None:
        self.valid, self.token, self.refreshed = False, "", 0
        self.error: Exception | None = None

    def refresh(self, request: object) -> None:
        self.refreshed += 1
        if self.error:
            raise self.error
        self.valid, self.token = True, f"token-{self.refreshed}"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Credentials:
    credentials = Credentials()
    monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, "p"))
    return credentials


@pytest.fixture
def at_google(make_settings: MakeSettings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> CloudTasksClient:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    more = {"TASKS_QUEUE": QUEUE, "DELIVER_URL": "https://d.example.com", "DELIVER_INVOKER": "i@example.com"}
    return CloudTasksClient(make_settings(DELIVERY="queue", **more), clock=time.clock)


def test_google_gets_an_access_token_which_is_kept_while_it_is_valid(
    mock: responses.RequestsMock, at_google: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    mock.post(GOOGLE_URL, json={})
    add(at_google, time)
    time.advance(60)
    add(at_google, time)
    credentials.valid = False
    time.advance(59)
    add(at_google, time)
    time.advance(1)
    add(at_google, time)

    tokens = [call.request.headers["Authorization"] for call in mock.calls]
    assert tokens == ["Bearer token-1"] * 3 + ["Bearer token-2"]


def test_token_serves_on_while_its_successor_cannot_be_had(
    mock: responses.RequestsMock, at_google: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    mock.post(GOOGLE_URL, json={})
    add(at_google, time)
    credentials.valid, credentials.error = False, RefreshError("no answer")  # type: ignore[no-untyped-call]
    time.advance(60)

    assert add(at_google, time)
    assert mock.calls[1].request.headers["Authorization"] == "Bearer token-1"


def test_token_that_does_not_come_is_awaited_no_longer_than_the_deadline(
    at_google: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(google.auth, "default", lambda scopes: never.wait(60))

    with pytest.raises(Unavailable) as caught:
        add(at_google, time, 0.01)
    never.set()

    assert caught.value.cause == "Cloud Tasks: access token: no answer in time"


def test_token_that_cannot_be_had_is_unavailable(
    mock: responses.RequestsMock, at_google: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    credentials.error = RefreshError("metadata server: a text")  # type: ignore[no-untyped-call]

    with pytest.raises(Unavailable) as caught:
        add(at_google, time)

    assert caught.value.cause == "Cloud Tasks: access token: RefreshError"
    assert len(mock.calls) == 0


def test_account_that_is_not_there_is_unavailable(
    at_google: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scopes: object) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", fail)

    with pytest.raises(Unavailable, match="could not be queued"):
        add(at_google, time)


def test_dispatch_deadline_leaves_deliver_its_time() -> None:
    from runtime.cloud_tasks import DISPATCH_DEADLINE_SECONDS  # noqa: PLC0415
    from runtime.flow import DELIVER_TIMEOUT_SECONDS  # noqa: PLC0415

    assert timedelta(seconds=DELIVER_TIMEOUT_SECONDS) < timedelta(seconds=DISPATCH_DEADLINE_SECONDS)
