import base64
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    GoogleAPICallError,
    InternalServerError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.iam.v1 import policy_pb2
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from werkzeug.wrappers import Request, Response

from emulator.cloud_tasks.server import FAULTS, FakeCloudTasks
from emulator.core.faults import Fault
from emulator.core.journal import Journal
from emulator.core.server import Environ, Server
from tests.support.gcloud import PROJECT, environment, gcloud, needs_gcloud

LOCATION = f"projects/{PROJECT}/locations/europe-west3"
QUEUE = f"{LOCATION}/queues/notices"
TIMEOUT_SECONDS = 20.0


class Target:
    """The target of tasks: records each request and returns the queued responses, then 200."""

    def __init__(self) -> None:
        self.server = Server("target", self._serve, Journal())
        self.url, self.faults = self.server.url, self.server.faults
        self.seen: list[Request] = []
        self.responses: list[tuple[int, dict[str, str]]] = []
        self.unblocked = threading.Event()
        self.unblocked.set()
        self._changed = threading.Condition()

    def fail(self, *statuses: int) -> None:
        self.responses += [(status, {}) for status in statuses]

    def has_seen(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.seen) >= count, TIMEOUT_SECONDS)

    def _serve(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        request.get_data(cache=True)
        with self._changed:
            self.seen.append(request)
            self._changed.notify_all()
            status, headers = self.responses.pop(0) if self.responses else (200, {})
        self.unblocked.wait(TIMEOUT_SECONDS)
        return Response("", status, headers)(environ, start)


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    with target.server:
        yield target


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def cloud_tasks(journal: Journal) -> Iterator[FakeCloudTasks]:
    """Run 10,000 times as fast as real time: a backoff of an hour takes 0.36 s."""
    with FakeCloudTasks(journal, speed=10_000) as cloud_tasks:
        cloud_tasks.create_queue(QUEUE, {"retryConfig": {"maxAttempts": -1, "minBackoff": "10s"}})
        yield cloud_tasks


@pytest.fixture
def client(cloud_tasks: FakeCloudTasks) -> Iterator[Any]:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    options = {"api_endpoint": cloud_tasks.url}
    with tasks_v2.CloudTasksClient(transport="rest", client_options=options, credentials=credentials) as client:
        yield client


def task(url: str, name: str = "", **more: Any) -> dict[str, Any]:
    name_field = {"name": f"{QUEUE}/tasks/{name}"} if name else {}
    request = {"url": url, "headers": {"Content-Type": "application/json"}, "body": b'{"a":1}', **more}
    return {**name_field, "http_request": request}


def create(client: Any, task: dict[str, Any], queue: str = QUEUE) -> Any:
    return client.create_task(parent=queue, task=task, timeout=5)


def attempts(journal: Journal) -> list[tuple[int, int, float | None]]:
    entries = [entry.data for entry in journal.entries(kind="cloud_tasks.attempt")]
    return [(entry["attempt"], entry["status"], entry["next_retry_s"]) for entry in entries]


def outcomes(journal: Journal) -> list[tuple[str, str]]:
    return [(entry.data["task"], entry.data["how"]) for entry in journal.entries(kind="cloud_tasks.done")]


def test_a_task_reaches_its_target_unchanged(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    url = f"{target.url}/notify?x=1"
    created = create(client, task(url, "first", headers={"Content-Type": "application/json", "webhook-id": "m_1"}))
    assert created.name == f"{QUEUE}/tasks/first"
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    [request] = target.seen
    assert (request.method, request.full_path, request.data) == ("POST", "/notify?x=1", b'{"a":1}')
    assert (request.content_type, request.headers["webhook-id"]) == ("application/json", "m_1")
    assert request.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert request.headers["X-CloudTasks-QueueName"] == "notices"
    assert request.headers["X-CloudTasks-TaskName"] == "first"
    assert float(request.headers["X-CloudTasks-TaskETA"]) >= created.create_time.timestamp()
    assert "Authorization" not in request.headers


def test_headers_that_the_service_sets_are_replaced(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    given = {"Host": "elsewhere", "User-Agent": "mine", "Content-Length": "1", "X-CloudTasks-TaskName": "other"}
    created = create(client, task(target.url, "named", headers={**given, "X-AppEngine-A": "a", "X-Google-B": "b"}))
    assert dict(created.http_request.headers) == {"User-Agent": "Google-Cloud-Tasks"}
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    [request] = target.seen
    assert request.host == target.url.removeprefix("http://")
    assert request.content_length == 7
    assert "Content-Type" not in request.headers
    assert request.headers["X-CloudTasks-TaskName"] == "named"


@pytest.mark.parametrize(("audience", "claim"), [("https://deliver.example", "https://deliver.example"), ("", None)])
def test_an_oidc_token_names_its_account_and_audience(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, audience: str, claim: str | None
) -> None:
    token = {"service_account_email": "invoker@demo.iam.gserviceaccount.com", "audience": audience}
    create(client, task(target.url, oidc_token=token))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    scheme, _, jwt = target.seen[0].headers["Authorization"].partition(" ")
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in jwt.split("."))
    assert (scheme, json.loads(header)["typ"]) == ("Bearer", "JWT")
    token_claims = json.loads(claims)
    assert (token_claims["email"], token_claims["aud"]) == ("invoker@demo.iam.gserviceaccount.com", claim or target.url)
    assert token_claims["exp"] - token_claims["iat"] == 3600
    assert b"not signed" in signature


def test_a_failed_task_is_retried_after_its_backoff(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.fail(500, 404, 302)
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert attempts(journal) == [(1, 500, 10.0), (2, 404, 20.0), (3, 302, 40.0), (4, 200, None)]
    assert outcomes(journal) == [("t", "delivered")]


def test_a_retry_reports_the_previous_attempts(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    """TaskRetryCount counts every attempt, TaskExecutionCount the responses other than 5xx."""
    target.fail(500, 404)
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    names = ("TaskRetryCount", "TaskExecutionCount", "TaskPreviousResponse", "TaskRetryReason")
    reported = [[request.headers.get(f"X-CloudTasks-{name}") for name in names] for request in target.seen]
    assert reported == [["0", "0", None, None], ["1", "0", "500", ""], ["2", "1", "404", ""]]


def test_a_task_is_retried_when_its_target_is_unreachable(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.faults.add(Fault("reset"))
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert [status for _, status, _ in attempts(journal)] == [0, 200]
    assert target.seen[0].headers["X-CloudTasks-TaskPreviousResponse"] == "504"
    assert journal.entries(kind="cloud_tasks.attempt")[0].data["problem"] == "ProtocolError"


def test_an_attempt_times_out_at_its_deadline(journal: Journal, target: Target) -> None:
    target.faults.add(Fault("hang"))
    with FakeCloudTasks(journal, speed=10_000, max_attempt_seconds=0.1) as cloud_tasks:
        cloud_tasks.create_queue(QUEUE)
        body = {"task": {"httpRequest": {"url": target.url}, "dispatchDeadline": "15s"}}
        requests.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=body, timeout=5)
        assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    entries = [entry.data for entry in journal.entries(kind="cloud_tasks.attempt")]
    assert (entries[0]["status"], entries[0]["problem"]) == (0, "ReadTimeoutError")
    assert entries[-1]["status"] == 200


def test_retry_after_is_honored(client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    target.responses.append((503, {"Retry-After": "120"}))
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert attempts(journal) == [(1, 503, 120.0), (2, 200, None)]


def test_a_task_is_dropped_after_the_last_attempt(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.create_queue(QUEUE, {"retryConfig": {"maxAttempts": 2}})
    target.fail(500, 500, 500)
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert (len(target.seen), outcomes(journal)) == (2, [("t", "dropped")])


def test_a_task_name_is_reserved_while_the_task_exists_and_afterward(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target
) -> None:
    cloud_tasks.speed = 1
    target.unblocked.clear()
    create(client, task(target.url, "once"))
    with pytest.raises(Conflict, match="Requested entity already exists"):
        create(client, task(target.url, "once"))
    target.unblocked.set()
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    with pytest.raises(Conflict, match="a task with this name existed too recently"):
        create(client, task(target.url, "once"))
    assert len(target.seen) == 1


def test_a_task_without_a_name_gets_one(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.paused = True
    names = {create(client, task(target.url)).name for _ in range(3)}
    assert len(names) == 3
    assert all(name.removeprefix(f"{QUEUE}/tasks/").isdigit() for name in names)


def test_a_task_shows_its_body_only_in_full_view(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.paused = True
    deadline = duration_pb2.Duration(seconds=60)
    name = create(client, {**task(target.url, "t"), "dispatch_deadline": deadline}).name
    basic, full = (client.get_task(request={"name": name, "response_view": view}) for view in (1, 2))
    assert (basic.http_request.body, full.http_request.body) == (b"", b'{"a":1}')
    assert full.http_request.http_method == tasks_v2.HttpMethod.POST
    assert full.dispatch_deadline.total_seconds() == 60
    assert [listed.name for listed in client.list_tasks(parent=QUEUE)] == [name]
    assert cloud_tasks.tasks()[0]["name"] == name


def test_a_task_shows_its_attempts(client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    cloud_tasks.speed = 1
    target.fail(503)
    name = create(client, task(target.url, "t")).name
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=TIMEOUT_SECONDS)
    seen = client.get_task(name=name)
    assert (seen.dispatch_count, seen.response_count) == (1, 1)
    assert seen.last_attempt.response_status.code == 14
    assert seen.last_attempt.response_status.message == "UNAVAILABLE(14): HTTP status code 503"
    assert seen.first_attempt.dispatch_time == seen.last_attempt.dispatch_time


def test_a_task_waits_for_its_schedule(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.speed = 1
    when = timestamp_pb2.Timestamp()
    when.FromJsonString("2999-01-01T00:00:00Z")
    with pytest.raises(BadRequest, match="is too far in the future"):
        create(client, {**task(target.url), "schedule_time": when})
    when.GetCurrentTime()
    when.seconds += 3600
    create(client, {**task(target.url), "schedule_time": when})
    assert not cloud_tasks.wait_until_empty(0)
    cloud_tasks.speed = 100_000
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)


def test_waiting_tasks_can_be_run_now(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.speed = 1
    target.fail(500)
    create(client, task(target.url))
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=TIMEOUT_SECONDS)
    cloud_tasks.run_now()
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)


def test_a_paused_queue_sends_only_tasks_that_are_run_explicitly(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target
) -> None:
    assert client.pause_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    name = create(client, task(target.url, "t")).name
    create(client, task(target.url, "later"))
    client.run_task(name=name)
    assert target.has_seen(1)
    assert not cloud_tasks.wait_until_empty(0)
    assert client.resume_queue(name=QUEUE).state == tasks_v2.Queue.State.RUNNING
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert [request.headers["X-CloudTasks-TaskName"] for request in target.seen] == ["t", "later"]


def test_all_queues_can_be_paused(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.paused = True
    create(client, task(target.url))
    assert not cloud_tasks.wait_until_empty(0)
    cloud_tasks.paused = False
    assert cloud_tasks.paused is False
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)


def test_a_task_can_be_dispatched_twice(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.duplicate_next()
    create(client, task(target.url, "twice"))
    assert journal.wait(lambda _: len(attempts(journal)) == 2, timeout=TIMEOUT_SECONDS)
    create(client, task(target.url, "once"))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert [request.headers["X-CloudTasks-TaskName"] for request in target.seen] == ["twice", "twice", "once"]
    assert [request.headers["X-CloudTasks-TaskRetryCount"] for request in target.seen] == ["0", "0", "0"]
    assert outcomes(journal) == [("twice", "delivered"), ("once", "delivered")]


def test_a_task_deleted_while_it_runs_is_not_retried(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.unblocked.clear()
    target.fail(500)
    name = create(client, task(target.url, "t")).name
    assert target.has_seen(1)
    client.delete_task(name=name)
    target.unblocked.set()
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=TIMEOUT_SECONDS)
    assert attempts(journal) == [(1, 500, None)]
    assert outcomes(journal) == [("t", "deleted")]
    with pytest.raises(NotFound, match="though a task with this name existed recently"):
        client.get_task(name=name)


def test_a_purge_deletes_every_task(client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    cloud_tasks.paused = True
    for name in ("a", "b"):
        create(client, task(target.url, name))
    assert client.purge_queue(name=QUEUE).purge_time
    assert list(client.list_tasks(parent=QUEUE)) == []
    assert outcomes(journal) == [("a", "purged"), ("b", "purged")]


def test_a_queue_respects_its_concurrency_limit(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.create_queue(QUEUE, {"rateLimits": {"maxConcurrentDispatches": 2}})
    target.unblocked.clear()
    for _ in range(5):
        create(client, task(target.url))
    assert target.has_seen(2)
    assert sum(task["dispatchCount"] for task in cloud_tasks.tasks()) == 2
    target.unblocked.set()
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert len(target.seen) == 5


def test_many_tasks_are_each_delivered_once(cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    cloud_tasks.create_queue(QUEUE, {"rateLimits": {"maxConcurrentDispatches": 80}})
    cloud_tasks.paused = True
    with requests.Session() as session:
        for number in range(500):
            created = {"task": {"name": f"{QUEUE}/tasks/n{number}", "httpRequest": {"url": target.url}}}
            assert session.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=created, timeout=5).ok
    cloud_tasks.paused = False
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    names = [request.headers["X-CloudTasks-TaskName"] for request in target.seen]
    assert sorted(names) == sorted(f"n{number}" for number in range(500))
    assert len(outcomes(journal)) == 500


def test_a_new_queue_has_the_services_defaults(client: Any) -> None:
    created = client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/new"})
    assert created == client.get_queue(name=f"{LOCATION}/queues/new")
    assert (created.rate_limits.max_dispatches_per_second, created.rate_limits.max_burst_size) == (500, 100)
    assert created.rate_limits.max_concurrent_dispatches == 1000
    assert (created.retry_config.max_attempts, created.retry_config.max_doublings) == (100, 16)
    assert created.retry_config.min_backoff.total_seconds() == 0.1
    assert created.retry_config.max_backoff.total_seconds() == 3600
    assert {queue.name for queue in client.list_queues(parent=LOCATION)} == {QUEUE, f"{LOCATION}/queues/new"}
    with pytest.raises(Conflict, match="Queue already exists"):
        client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/new"})


def test_an_update_changes_only_the_fields_in_its_mask(client: Any) -> None:
    given = {"name": QUEUE, "retry_config": {"max_attempts": 5, "max_doublings": 1}}
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_attempts"])
    updated = client.update_queue(queue=given, update_mask=mask)
    assert (updated.retry_config.max_attempts, updated.retry_config.max_doublings) == (5, 16)
    assert updated.retry_config.min_backoff.total_seconds() == 10
    replaced = client.update_queue(queue=given)
    assert (replaced.retry_config.max_doublings, replaced.retry_config.min_backoff.total_seconds()) == (1, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retry_config": {"max_attempts": -2}}, "must be greater or equal to -1"),
        ({"retry_config": {"max_doublings": -1}}, "maxDoublings cannot be negative"),
        ({"retry_config": {"min_backoff": duration_pb2.Duration(seconds=-1)}}, "minBackoff cannot be negative"),
        ({"retry_config": {"min_backoff": duration_pb2.Duration(seconds=9999)}}, "minBackoff must be less than"),
        ({"rate_limits": {"max_dispatches_per_second": 501}}, "less than or equal to 500"),
        ({"rate_limits": {"max_dispatches_per_second": -1}}, "maxDispatchesPerSecond cannot be negative"),
        ({"rate_limits": {"max_concurrent_dispatches": 5001}}, "less than or equal to 5000"),
        ({"rate_limits": {"max_concurrent_dispatches": -1}}, "maxConcurrentDispatches cannot be negative"),
        ({"name": "queues/new"}, "must begin with"),
    ],
)
def test_settings_out_of_range_are_rejected(client: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/new", **settings})


def test_the_name_of_a_deleted_queue_is_reserved(client: Any, cloud_tasks: FakeCloudTasks) -> None:
    cloud_tasks.speed = 1
    client.delete_queue(name=QUEUE)
    with pytest.raises(NotFound, match="Queue does not exist"):
        client.get_queue(name=QUEUE)
    with pytest.raises(BadRequest, match="existed too recently") as error:
        client.create_queue(parent=LOCATION, queue={"name": QUEUE})
    assert error.value.response.json()["error"]["status"] == "FAILED_PRECONDITION"


def test_a_missing_queue_is_not_found(client: Any, target: Target) -> None:
    with pytest.raises(NotFound, match="wait at least a minute"):
        create(client, task(target.url), f"{LOCATION}/queues/none")


def test_a_missing_task_is_not_found(client: Any) -> None:
    for call in (client.get_task, client.delete_task, client.run_task):
        with pytest.raises(NotFound, match="Requested entity was not found"):
            call(name=f"{QUEUE}/tasks/none")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "t"}, "Task name must be formatted"),
        ({"name": f"{LOCATION}/queues/other/tasks/t"}, "must be the same as the queue name in the named task"),
        ({"name": f"{QUEUE}/tasks/no spaces"}, "can contain only letters"),
        ({"name": f"{QUEUE}/tasks/" + "x" * 501}, "between 1 and 500 characters"),
        ({"http_request": {}}, "HttpRequest.url is required"),
        ({"http_request": {"url": "ftp://a.example"}}, "must start with 'http://' or 'https://'"),
        ({"http_request": {"url": "http://a.example/" + "x" * 2083}}, "must not be longer"),
        ({"http_request": {"url": "http://a.example", "body": b"x" * 102_400}}, "Task size too large"),
        ({"dispatch_deadline": duration_pb2.Duration(seconds=14)}, r"must be between \[15s, 30m\]"),
        ({"dispatch_deadline": duration_pb2.Duration(seconds=1801)}, r"must be between \[15s, 30m\]"),
    ],
)
def test_a_malformed_task_is_rejected(client: Any, target: Target, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        create(client, {**task(target.url), **given})
    assert not target.seen


@pytest.mark.parametrize(
    "task",
    [
        {"scheduleTime": "tomorrow"},
        {"dispatchDeadline": "60"},
        {"httpRequest": {"url": "http://a.example", "httpMethod": "DANCE"}},
        {"httpRequest": {"url": "http://a.example", "body": "*"}},
        {"httpRequest": 1},
    ],
)
def test_an_invalid_value_is_rejected(cloud_tasks: FakeCloudTasks, task: dict[str, Any]) -> None:
    body = {"task": {"httpRequest": {"url": "http://a.example"}, **task}}
    response = requests.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=body, timeout=5)
    assert (response.status_code, response.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_permissions_are_granted_and_a_missing_queue_has_none(client: Any) -> None:
    requested = ["cloudtasks.tasks.create"]
    for queue, expected in ((QUEUE, requested), (f"{QUEUE}-2", [])):
        response = client.test_iam_permissions(request={"resource": queue, "permissions": requested})
        assert list(response.permissions) == expected


def test_locations_are_listed(cloud_tasks: FakeCloudTasks) -> None:
    listed = requests.get(f"{cloud_tasks.url}/v2/projects/{PROJECT}/locations", timeout=20).json()["locations"]
    names = {each["locationId"]: each["name"] for each in listed}
    assert names["europe-west1"] == f"projects/{PROJECT}/locations/europe-west1"


def test_a_get_with_a_body_is_rejected_by_the_front_end(cloud_tasks: FakeCloudTasks) -> None:
    response = requests.get(f"{cloud_tasks.url}/v2/{QUEUE}", data="{}", timeout=20)
    assert response.status_code == 400
    assert "malformed or illegal request" in response.text


def test_an_iam_policy_is_stored(client: Any) -> None:
    policy = client.get_iam_policy(request={"resource": QUEUE})
    policy.bindings.append(policy_pb2.Binding(role="roles/cloudtasks.enqueuer", members=["user:a@b.example"]))
    client.set_iam_policy(request={"resource": QUEUE, "policy": policy})
    assert client.get_iam_policy(request={"resource": QUEUE}).bindings == policy.bindings


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("queue asleep", NotFound),
        ("permission denied", Forbidden),
        ("rate limited", TooManyRequests),
        ("internal", InternalServerError),
        ("unavailable", ServiceUnavailable),
    ],
)
def test_a_named_fault_fails_the_creation(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, name: str, error: type[GoogleAPICallError]
) -> None:
    cloud_tasks.faults.add(FAULTS[name])
    with pytest.raises(error):
        create(client, task(target.url, "t"))
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert len(target.seen) == 1


def test_a_creation_can_succeed_although_its_response_is_lost(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target
) -> None:
    cloud_tasks.faults.add(replace(FAULTS["reset"], accepted=True))
    with pytest.raises(requests.ConnectionError):
        create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert len(target.seen) == 1


def test_api_calls_are_recorded_in_the_journal(client: Any, target: Target, journal: Journal) -> None:
    create(client, task(target.url))
    [exchange] = journal.entries(kind="cloud_tasks.exchange")
    assert (exchange.data["method"], exchange.data["status"]) == ("POST", 200)


@pytest.mark.slow
@needs_gcloud
def test_gcloud_manages_a_queue_and_its_tasks(cloud_tasks: FakeCloudTasks, target: Target, tmp_path: Path) -> None:
    env = environment(tmp_path, cloudtasks=cloud_tasks.url)
    location = "--location=europe-west3"

    def run(*words: str) -> str:
        done = gcloud(env, "tasks", *words, location)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("queues", "create", "emails", "--max-attempts=unlimited", "--min-backoff=10s", "--max-backoff=3600s")
    run("queues", "pause", "emails")
    described = json.loads(run("queues", "describe", "emails", "--format=json"))
    assert (described["state"], described["retryConfig"]["maxAttempts"]) == ("PAUSED", -1)
    assert (described["retryConfig"]["minBackoff"], described["retryConfig"]["maxBackoff"]) == ("10s", "3600s")
    run("queues", "update", "emails", "--max-attempts=7")
    account = "--oidc-service-account-email=a@demo-proj.iam.gserviceaccount.com"
    run("create-http-task", "hello", "--queue=emails", f"--url={target.url}", account, "--body-content=hi")
    assert "hello" in run("list", "--queue=emails")
    run("queues", "resume", "emails")
    assert cloud_tasks.wait_until_empty(TIMEOUT_SECONDS)
    assert (target.seen[0].data, target.seen[0].headers["X-CloudTasks-TaskName"]) == (b"hi", "hello")
