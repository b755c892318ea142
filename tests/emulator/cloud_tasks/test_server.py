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

PLACE = f"projects/{PROJECT}/locations/europe-west3"
QUEUE = f"{PLACE}/queues/notices"
PATIENCE = 20.0  # seconds until a test gives up; none waits for time to pass


class Target:
    """What tasks are sent to: keeps each request, answers as told, then 200."""

    def __init__(self) -> None:
        self.server = Server("target", self._serve, Journal())
        self.url, self.faults = self.server.url, self.server.faults
        self.seen: list[Request] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.open = threading.Event()
        self.open.set()
        self._changed = threading.Condition()

    def fail(self, *statuses: int) -> None:
        self.answers += [(status, {}) for status in statuses]

    def has_seen(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.seen) >= count, PATIENCE)

    def _serve(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        request.get_data(cache=True)
        with self._changed:
            self.seen.append(request)
            self._changed.notify_all()
            status, headers = self.answers.pop(0) if self.answers else (200, {})
        self.open.wait(PATIENCE)
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
    """Ten thousand times as fast as life: a backoff of an hour takes 0.36 s."""
    with FakeCloudTasks(journal, speed=10_000) as cloud_tasks:
        cloud_tasks.create_queue(QUEUE, {"retryConfig": {"maxAttempts": -1, "minBackoff": "10s"}})
        yield cloud_tasks


@pytest.fixture
def client(cloud_tasks: FakeCloudTasks) -> Iterator[Any]:
    anyone = AnonymousCredentials()  # type: ignore[no-untyped-call]
    options = {"api_endpoint": cloud_tasks.url}
    with tasks_v2.CloudTasksClient(transport="rest", client_options=options, credentials=anyone) as client:
        yield client


def task(url: str, name: str = "", **more: Any) -> dict[str, Any]:
    named = {"name": f"{QUEUE}/tasks/{name}"} if name else {}
    request = {"url": url, "headers": {"Content-Type": "application/json"}, "body": b'{"a":1}', **more}
    return {**named, "http_request": request}


def create(client: Any, task: dict[str, Any], queue: str = QUEUE) -> Any:
    return client.create_task(parent=queue, task=task, timeout=5)


def attempts(journal: Journal) -> list[tuple[int, int, float | None]]:
    entries = [entry.data for entry in journal.entries(kind="cloud_tasks.attempt")]
    return [(entry["attempt"], entry["status"], entry["next_retry_s"]) for entry in entries]


def ends(journal: Journal) -> list[tuple[str, str]]:
    return [(entry.data["task"], entry.data["how"]) for entry in journal.entries(kind="cloud_tasks.done")]


def test_a_task_reaches_its_target_as_it_was_given(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    url = f"{target.url}/notify?x=1"
    made = create(client, task(url, "first", headers={"Content-Type": "application/json", "webhook-id": "m_1"}))
    assert made.name == f"{QUEUE}/tasks/first"
    assert cloud_tasks.wait_until_empty(PATIENCE)
    [request] = target.seen
    assert (request.method, request.full_path, request.data) == ("POST", "/notify?x=1", b'{"a":1}')
    assert (request.content_type, request.headers["webhook-id"]) == ("application/json", "m_1")
    assert request.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert request.headers["X-CloudTasks-QueueName"] == "notices"
    assert request.headers["X-CloudTasks-TaskName"] == "first"
    assert float(request.headers["X-CloudTasks-TaskETA"]) >= made.create_time.timestamp()
    assert "Authorization" not in request.headers


def test_headers_that_the_service_sets_are_replaced(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    given = {"Host": "elsewhere", "User-Agent": "mine", "Content-Length": "1", "X-CloudTasks-TaskName": "other"}
    made = create(client, task(target.url, "named", headers={**given, "X-AppEngine-A": "a", "X-Google-B": "b"}))
    assert dict(made.http_request.headers) == {"User-Agent": "Google-Cloud-Tasks"}
    assert cloud_tasks.wait_until_empty(PATIENCE)
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
    assert cloud_tasks.wait_until_empty(PATIENCE)
    scheme, _, jwt = target.seen[0].headers["Authorization"].partition(" ")
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in jwt.split("."))
    assert (scheme, json.loads(header)["typ"]) == ("Bearer", "JWT")
    said = json.loads(claims)
    assert (said["email"], said["aud"]) == ("invoker@demo.iam.gserviceaccount.com", claim or target.url)
    assert said["exp"] - said["iat"] == 3600
    assert b"not signed" in signature


def test_a_failed_task_is_tried_again_after_its_backoff(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.fail(500, 404, 302)
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert attempts(journal) == [(1, 500, 10.0), (2, 404, 20.0), (3, 302, 40.0), (4, 200, None)]
    assert ends(journal) == [("t", "delivered")]


def test_a_retry_tells_of_the_attempts_before(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    """TaskRetryCount counts every attempt, TaskExecutionCount the responses that were no 5xx."""
    target.fail(500, 404)
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    names = ("TaskRetryCount", "TaskExecutionCount", "TaskPreviousResponse", "TaskRetryReason")
    told = [[request.headers.get(f"X-CloudTasks-{name}") for name in names] for request in target.seen]
    assert told == [["0", "0", None, None], ["1", "0", "500", ""], ["2", "1", "404", ""]]


def test_a_target_that_is_not_there_is_tried_again(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.faults.add(Fault("reset"))
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert [status for _, status, _ in attempts(journal)] == [0, 200]
    assert target.seen[0].headers["X-CloudTasks-TaskPreviousResponse"] == "504"
    assert journal.entries(kind="cloud_tasks.attempt")[0].data["problem"] == "ProtocolError"


def test_an_attempt_ends_with_its_deadline(journal: Journal, target: Target) -> None:
    target.faults.add(Fault("hang"))
    with FakeCloudTasks(journal, speed=10_000, max_attempt_seconds=0.1) as cloud_tasks:
        cloud_tasks.create_queue(QUEUE)
        body = {"task": {"httpRequest": {"url": target.url}, "dispatchDeadline": "15s"}}
        requests.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=body, timeout=5)
        assert cloud_tasks.wait_until_empty(PATIENCE)
    entries = [entry.data for entry in journal.entries(kind="cloud_tasks.attempt")]
    assert (entries[0]["status"], entries[0]["problem"]) == (0, "ReadTimeoutError")
    assert entries[-1]["status"] == 200


def test_retry_after_is_honoured(client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    target.answers.append((503, {"Retry-After": "120"}))
    create(client, task(target.url))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert attempts(journal) == [(1, 503, 120.0), (2, 200, None)]


def test_a_task_is_given_up_after_the_last_attempt(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.create_queue(QUEUE, {"retryConfig": {"maxAttempts": 2}})
    target.fail(500, 500, 500)
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert (len(target.seen), ends(journal)) == (2, [("t", "dropped")])


def test_a_name_stays_taken_while_the_task_exists_and_after(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target
) -> None:
    cloud_tasks.speed = 1
    target.open.clear()
    create(client, task(target.url, "once"))
    with pytest.raises(Conflict, match="Requested entity already exists"):
        create(client, task(target.url, "once"))
    target.open.set()
    assert cloud_tasks.wait_until_empty(PATIENCE)
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


def test_a_task_tells_of_its_attempts(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.speed = 1
    target.fail(503)
    name = create(client, task(target.url, "t")).name
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=PATIENCE)
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
    assert cloud_tasks.wait_until_empty(PATIENCE)


def test_waiting_tasks_may_be_run_now(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.speed = 1
    target.fail(500)
    create(client, task(target.url))
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=PATIENCE)
    cloud_tasks.run_now()
    assert cloud_tasks.wait_until_empty(PATIENCE)


def test_a_paused_queue_sends_nothing_but_what_is_run(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    assert client.pause_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    name = create(client, task(target.url, "t")).name
    create(client, task(target.url, "later"))
    client.run_task(name=name)
    assert not cloud_tasks.wait_until_empty(0)
    assert client.resume_queue(name=QUEUE).state == tasks_v2.Queue.State.RUNNING
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert [request.headers["X-CloudTasks-TaskName"] for request in target.seen] == ["t", "later"]


def test_the_whole_stand_in_may_pause(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.paused = True
    create(client, task(target.url))
    assert not cloud_tasks.wait_until_empty(0)
    cloud_tasks.paused = False
    assert cloud_tasks.paused is False
    assert cloud_tasks.wait_until_empty(PATIENCE)


def test_a_task_may_be_dispatched_twice(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    cloud_tasks.duplicate_next()
    create(client, task(target.url, "twice"))
    assert journal.wait(lambda _: len(attempts(journal)) == 2, timeout=PATIENCE)
    create(client, task(target.url, "once"))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert [request.headers["X-CloudTasks-TaskName"] for request in target.seen] == ["twice", "twice", "once"]
    assert [request.headers["X-CloudTasks-TaskRetryCount"] for request in target.seen] == ["0", "0", "0"]
    assert ends(journal) == [("twice", "delivered"), ("once", "delivered")]


def test_a_task_deleted_while_it_runs_is_not_tried_again(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal
) -> None:
    target.open.clear()
    target.fail(500)
    name = create(client, task(target.url, "t")).name
    assert target.has_seen(1)
    client.delete_task(name=name)
    target.open.set()
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", timeout=PATIENCE)
    assert attempts(journal) == [(1, 500, None)]
    assert ends(journal) == [("t", "deleted")]
    with pytest.raises(NotFound, match="though a task with this name existed recently"):
        client.get_task(name=name)


def test_a_purge_ends_every_task(client: Any, cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    cloud_tasks.paused = True
    for name in ("a", "b"):
        create(client, task(target.url, name))
    assert client.purge_queue(name=QUEUE).purge_time
    assert list(client.list_tasks(parent=QUEUE)) == []
    assert ends(journal) == [("a", "purged"), ("b", "purged")]


def test_a_queue_sends_no_more_at_once_than_it_may(client: Any, cloud_tasks: FakeCloudTasks, target: Target) -> None:
    cloud_tasks.create_queue(QUEUE, {"rateLimits": {"maxConcurrentDispatches": 2}})
    target.open.clear()
    for _ in range(5):
        create(client, task(target.url))
    assert target.has_seen(2)
    assert sum(shown["dispatchCount"] for shown in cloud_tasks.tasks()) == 2
    target.open.set()
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert len(target.seen) == 5


def test_many_tasks_are_each_delivered_once(cloud_tasks: FakeCloudTasks, target: Target, journal: Journal) -> None:
    cloud_tasks.create_queue(QUEUE, {"rateLimits": {"maxConcurrentDispatches": 80}})
    cloud_tasks.paused = True
    with requests.Session() as session:
        for number in range(500):
            made = {"task": {"name": f"{QUEUE}/tasks/n{number}", "httpRequest": {"url": target.url}}}
            assert session.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=made, timeout=5).ok
    cloud_tasks.paused = False
    assert cloud_tasks.wait_until_empty(PATIENCE)
    names = [request.headers["X-CloudTasks-TaskName"] for request in target.seen]
    assert sorted(names) == sorted(f"n{number}" for number in range(500))
    assert len(ends(journal)) == 500


def test_a_queue_is_made_with_the_services_defaults(client: Any) -> None:
    made = client.create_queue(parent=PLACE, queue={"name": f"{PLACE}/queues/new"})
    assert made == client.get_queue(name=f"{PLACE}/queues/new")
    assert (made.rate_limits.max_dispatches_per_second, made.rate_limits.max_burst_size) == (500, 100)
    assert made.rate_limits.max_concurrent_dispatches == 1000
    assert (made.retry_config.max_attempts, made.retry_config.max_doublings) == (100, 16)
    assert made.retry_config.min_backoff.total_seconds() == 0.1
    assert made.retry_config.max_backoff.total_seconds() == 3600
    assert {queue.name for queue in client.list_queues(parent=PLACE)} == {QUEUE, f"{PLACE}/queues/new"}
    with pytest.raises(Conflict, match="Queue already exists"):
        client.create_queue(parent=PLACE, queue={"name": f"{PLACE}/queues/new"})


def test_an_update_changes_what_its_mask_names(client: Any) -> None:
    given = {"name": QUEUE, "retry_config": {"max_attempts": 5, "max_doublings": 1}}
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_attempts"])
    updated = client.update_queue(queue=given, update_mask=mask)
    assert (updated.retry_config.max_attempts, updated.retry_config.max_doublings) == (5, 16)
    assert updated.retry_config.min_backoff.total_seconds() == 10
    whole = client.update_queue(queue=given)
    assert (whole.retry_config.max_doublings, whole.retry_config.min_backoff.total_seconds()) == (1, 0.1)


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
def test_settings_out_of_range_are_refused(client: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        client.create_queue(parent=PLACE, queue={"name": f"{PLACE}/queues/new", **settings})


def test_a_deleted_queues_name_stays_blocked(client: Any, cloud_tasks: FakeCloudTasks) -> None:
    cloud_tasks.speed = 1
    client.delete_queue(name=QUEUE)
    with pytest.raises(NotFound, match="Queue does not exist"):
        client.get_queue(name=QUEUE)
    with pytest.raises(BadRequest, match="existed too recently") as refusal:
        client.create_queue(parent=PLACE, queue={"name": QUEUE})
    assert refusal.value.response.json()["error"]["status"] == "FAILED_PRECONDITION"


def test_a_missing_queue_is_not_found(client: Any, target: Target) -> None:
    with pytest.raises(NotFound, match="wait at least a minute"):
        create(client, task(target.url), f"{PLACE}/queues/none")


def test_a_missing_task_is_not_found(client: Any) -> None:
    for call in (client.get_task, client.delete_task, client.run_task):
        with pytest.raises(NotFound, match="Requested entity was not found"):
            call(name=f"{QUEUE}/tasks/none")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "t"}, "Task name must be formatted"),
        ({"name": f"{PLACE}/queues/other/tasks/t"}, "must be the same as the queue name in the named task"),
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
def test_a_malformed_task_is_refused(client: Any, target: Target, given: dict[str, Any], message: str) -> None:
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
def test_a_value_of_the_wrong_form_is_refused(cloud_tasks: FakeCloudTasks, task: dict[str, Any]) -> None:
    body = {"task": {"httpRequest": {"url": "http://a.example"}, **task}}
    answer = requests.post(f"{cloud_tasks.url}/v2/{QUEUE}/tasks", json=body, timeout=5)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_policy_is_kept(client: Any) -> None:
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
def test_a_named_fault_is_what_the_creator_sees(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target, name: str, error: type[GoogleAPICallError]
) -> None:
    cloud_tasks.faults.add(FAULTS[name])
    with pytest.raises(error):
        create(client, task(target.url, "t"))
    create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert len(target.seen) == 1


def test_a_creation_may_succeed_without_its_creator_knowing(
    client: Any, cloud_tasks: FakeCloudTasks, target: Target
) -> None:
    cloud_tasks.faults.add(replace(FAULTS["reset"], accepted=True))
    with pytest.raises(requests.ConnectionError):
        create(client, task(target.url, "t"))
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert len(target.seen) == 1


def test_api_calls_stand_in_the_journal(client: Any, target: Target, journal: Journal) -> None:
    create(client, task(target.url))
    [exchange] = journal.entries(kind="cloud_tasks.exchange")
    assert (exchange.data["method"], exchange.data["status"]) == ("POST", 200)


@pytest.mark.slow
@needs_gcloud
def test_gcloud_manages_a_queue_and_its_tasks(cloud_tasks: FakeCloudTasks, target: Target, tmp_path: Path) -> None:
    env = environment(tmp_path, cloudtasks=cloud_tasks.url)
    place = "--location=europe-west3"

    def run(*words: str) -> str:
        done = gcloud(env, "tasks", *words, place)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("queues", "create", "mails", "--max-attempts=unlimited", "--min-backoff=10s", "--max-backoff=3600s")
    run("queues", "pause", "mails")
    described = json.loads(run("queues", "describe", "mails", "--format=json"))
    assert (described["state"], described["retryConfig"]["maxAttempts"]) == ("PAUSED", -1)
    assert (described["retryConfig"]["minBackoff"], described["retryConfig"]["maxBackoff"]) == ("10s", "3600s")
    run("queues", "update", "mails", "--max-attempts=7")
    account = "--oidc-service-account-email=a@demo-proj.iam.gserviceaccount.com"
    run("create-http-task", "hello", "--queue=mails", f"--url={target.url}", account, "--body-content=hi")
    assert "hello" in run("list", "--queue=mails")
    run("queues", "resume", "mails")
    assert cloud_tasks.wait_until_empty(PATIENCE)
    assert (target.seen[0].data, target.seen[0].headers["X-CloudTasks-TaskName"]) == (b"hi", "hello")
