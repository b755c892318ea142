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
def client(settings: Settings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> CloudTasksClient:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    return CloudTasksClient(settings, clock=time.clock)


def add(client: CloudTasksClient, time: FakeTime, remaining: float = 5.5) -> bool:
    return client.add(SIGNED, b'{"event":{}}', key="0" * 64, action="notify", deadline=time.monotonic + remaining)


def test_a_task_has_the_callouts_own_bytes_and_headers(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, json={})

    assert add(client, time) is True
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


def test_a_task_whose_name_is_taken_is_already_queued(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, status=409, json={"error": {"status": "ALREADY_EXISTS"}})

    assert add(client, time) is False


@pytest.mark.parametrize("ambiguous", [{"body": requests.ConnectionError("reset")}, {"status": 500}, {"status": 503}])
def test_a_task_that_an_earlier_attempt_may_have_created_is_new(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime, ambiguous: dict[str, Any]
) -> None:
    mock.post(URL, **ambiguous)
    mock.post(URL, status=429)
    mock.post(URL, status=409)

    assert add(client, time) is True


@pytest.mark.parametrize("status", [403, 404, 429])
def test_a_name_taken_after_a_rejected_attempt_is_a_duplicate(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime, status: int
) -> None:
    mock.post(URL, status=status)
    mock.post(URL, status=409)

    assert add(client, time) is False


def test_an_attempt_without_a_response_leaves_time_for_another(
    client: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    def hang(_url: str, _headers: object, _body: bytes, *, deadline: float) -> HttpResponse:
        timeouts.append(deadline - time.monotonic)
        time.advance(deadline - time.monotonic)
        raise NoResponse("timed out", maybe_accepted=True)

    monkeypatch.setattr(client._http, "post", hang)
    with pytest.raises(Unavailable):
        add(client, time, remaining=5.5)

    assert timeouts == [2.0, 2.0, pytest.approx(0.9)]


def test_a_failure_is_retried_and_logged(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime, lines: Lines
) -> None:
    mock.post(URL, status=503, json={"error": {"status": "UNAVAILABLE", "message": "a text"}})
    mock.post(URL, json={})

    assert add(client, time) is True
    assert time.slept == [0.2]
    assert [(line["severity"], line["message"]) for line in lines()] == [
        ("WARNING", "attempt 1: Cloud Tasks: 503 UNAVAILABLE")
    ]


def test_the_backoff_is_reduced_by_up_to_half_at_random(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, status=503)
    mock.post(URL, json={})
    time.random = 0.5

    add(client, time)

    assert time.slept == pytest.approx([0.15])


@pytest.mark.parametrize(("remaining", "attempts"), [(100, 5), (0.79, 3), (0, 1)])
def test_attempts_are_limited_by_number_and_by_the_deadline(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime, remaining: float, attempts: int
) -> None:
    mock.post(URL, status=500)

    with pytest.raises(Unavailable) as caught:
        add(client, time, remaining)

    assert (caught.value.code, caught.value.status) == ("queue_unavailable", 503)
    assert len(mock.calls) == (attempts if remaining else 0)
    assert time.slept == [0.2, 0.4, 0.8, 1.6][: attempts - 1]


def test_a_task_that_cloud_tasks_rejects_as_invalid_is_not_retried(
    mock: responses.RequestsMock, client: CloudTasksClient, time: FakeTime
) -> None:
    mock.post(URL, status=400, json={"error": {"status": "INVALID_ARGUMENT"}})

    with pytest.raises(Unavailable) as caught:
        add(client, time)

    assert (caught.value.code, caught.value.status) == ("queue_unavailable", 503)
    assert caught.value.cause == "Cloud Tasks: 400 INVALID_ARGUMENT"
    assert (len(mock.calls), time.slept) == (1, [])


@pytest.fixture
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cloud_tasks.MAX_ATTEMPTS", 1)


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        ({"status": 403, "json": {"error": {"status": "PERMISSION_DENIED"}}}, "403 PERMISSION_DENIED"),
        ({"status": 404, "json": {"error": {"status": "NOT_FOUND"}}}, "404 NOT_FOUND"),
        ({"status": 429, "body": "<html>"}, "429 no reason given"),
        ({"status": 400, "json": {"error": "text"}}, "400 no reason given"),
        ({"status": 400, "json": {"error": {"status": "kim@example.org"}}}, "400 no reason given"),
        ({"status": 400, "json": {"error": {"status": "A" * 60_000}}}, "400 no reason given"),
        ({"status": 400, "json": []}, "400 no reason given"),
        ({"status": 400, "json": {}}, "400 no reason given"),
        ({"status": 400, "body": "[" * 60_000}, "400 no reason given"),
        ({"status": 302}, "302 no reason given"),
        ({"status": 201}, "201 no reason given"),
        ({"body": requests.ReadTimeout("slow")}, "ReadTimeout: slow"),
    ],
)
@pytest.mark.usefixtures("_one_attempt")
def test_any_other_response_is_unavailable_with_its_cause(
    mock: responses.RequestsMock,
    client: CloudTasksClient,
    time: FakeTime,
    response: dict[str, Any],
    cause: str,
) -> None:
    mock.post(URL, **response)

    with pytest.raises(Unavailable) as caught:
        add(client, time)

    assert caught.value.cause == f"Cloud Tasks: {cause}"
    assert "Cloud Tasks" not in caught.value.message


class Credentials:
    """Google credentials with a token that is valid until a test invalidates it."""

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
def google_client(make_settings: MakeSettings, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> CloudTasksClient:
    monkeypatch.setattr("runtime.http_client.time", time.clock)
    queue_settings = {"TASKS_QUEUE": QUEUE, "DELIVER_URL": "https://d.example.com", "DELIVER_INVOKER": "i@example.com"}
    return CloudTasksClient(make_settings(DELIVERY="queue", **queue_settings), clock=time.clock)


def test_requests_to_google_have_an_access_token_which_is_cached_while_valid(
    mock: responses.RequestsMock, google_client: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    mock.post(GOOGLE_URL, json={})
    add(google_client, time)
    time.advance(60)
    add(google_client, time)
    credentials.valid = False
    time.advance(59)
    add(google_client, time)
    time.advance(1)
    add(google_client, time)

    tokens = [call.request.headers["Authorization"] for call in mock.calls]
    assert tokens == ["Bearer token-1"] * 3 + ["Bearer token-2"]


def test_a_stale_token_is_used_while_it_cannot_be_refreshed(
    mock: responses.RequestsMock, google_client: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    mock.post(GOOGLE_URL, json={})
    add(google_client, time)
    credentials.valid, credentials.error = False, RefreshError("timed out")  # type: ignore[no-untyped-call]
    time.advance(60)

    assert add(google_client, time)
    assert mock.calls[1].request.headers["Authorization"] == "Bearer token-1"


def test_waiting_for_a_token_respects_the_deadline(
    google_client: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(google.auth, "default", lambda scopes: never.wait(60))

    with pytest.raises(Unavailable) as caught:
        add(google_client, time, 0.01)
    never.set()

    assert caught.value.cause == "Cloud Tasks: access token: timed out"


def test_a_failure_to_get_a_token_is_unavailable(
    mock: responses.RequestsMock, google_client: CloudTasksClient, time: FakeTime, credentials: Credentials
) -> None:
    credentials.error = RefreshError("metadata server: a text")  # type: ignore[no-untyped-call]

    with pytest.raises(Unavailable) as caught:
        add(google_client, time)

    assert caught.value.cause == "Cloud Tasks: access token: RefreshError"
    assert len(mock.calls) == 0


def test_missing_credentials_are_unavailable(
    google_client: CloudTasksClient, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scopes: object) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", fail)

    with pytest.raises(Unavailable, match="couldn't be queued"):
        add(google_client, time)


def test_the_dispatch_deadline_exceeds_delivers_timeout() -> None:
    from runtime.cloud_tasks import DISPATCH_DEADLINE_SECONDS  # noqa: PLC0415
    from runtime.flow import DELIVER_TIMEOUT_SECONDS  # noqa: PLC0415

    assert timedelta(seconds=DELIVER_TIMEOUT_SECONDS) < timedelta(seconds=DISPATCH_DEADLINE_SECONDS)
