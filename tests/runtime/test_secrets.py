import base64
import errno
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from runtime import log, secret_sources
from runtime import secrets as module
from runtime.errors import Unavailable
from runtime.secret_sources import PermanentError, TemporaryError
from runtime.secrets import MAX_STALE_SECONDS, ActionSecrets, Secret, SecretCache
from settings import Settings
from tests.conftest import FakeTime, Lines, MakeSettings

SOURCE = "projects/p/secrets/s"


class Store:
    """A secret source that counts its reads."""

    def __init__(self) -> None:
        self.value, self.reads = "value-1", 0
        self.error: Exception | None = None

    def __call__(self, source: str) -> str:
        self.reads += 1
        if self.error:
            raise self.error
        return self.value


class HangingStore(Store):
    """A secret source that responds only when `release` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.release = threading.Semaphore(0), threading.Event()

    def __call__(self, source: str) -> str:
        self.started.release()
        assert self.release.wait(60)
        return super().__call__(source)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def hanging() -> Iterator[HangingStore]:
    hanging = HangingStore()
    yield hanging
    hanging.release.set()


@pytest.fixture
def secrets(settings: Settings, store: Store, time: FakeTime) -> SecretCache:
    return SecretCache(settings, fetch=store, clock=time.clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def unavailable(call: Callable[[], object]) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        call()
    assert (caught.value.code, caught.value.status) == ("secret_unavailable", 503)
    assert SOURCE not in caught.value.message
    return caught.value


# Age


def test_a_value_is_cached_until_its_maximum_age(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    assert secrets.get(SOURCE) == "value-1"
    store.value = "value-2"
    time.advance(299)
    assert secrets.get(SOURCE) == "value-1"
    time.advance(1)

    assert secrets.get(SOURCE) == "value-2"
    assert store.reads == 2


def test_the_maximum_age_is_a_setting(make_settings: MakeSettings, store: Store, time: FakeTime) -> None:
    secrets = SecretCache(make_settings(SECRET_MAX_AGE_SECONDS="0"), fetch=store, clock=time.clock)
    secrets.get(SOURCE)
    secrets.get(SOURCE)

    assert store.reads == 2


def test_a_caller_can_require_a_lower_age(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    time.advance(10)

    secrets.get(SOURCE, max_age=11)
    assert store.reads == 1
    secrets.get(SOURCE, max_age=10)
    assert store.reads == 2


def test_whitespace_around_the_value_is_stripped(secrets: SecretCache, store: Store) -> None:
    store.value = " \tvalue\r\n"

    assert secrets.get(SOURCE) == "value"


def test_each_source_has_its_own_value(settings: Settings, time: FakeTime) -> None:
    secrets = SecretCache(settings, fetch=lambda source: source[-1], clock=time.clock)

    assert (secrets.get("projects/p/secrets/a"), secrets.get("projects/p/secrets/b")) == ("a", "b")


def test_a_value_is_redacted_in_the_log_as_a_whole_and_by_word(secrets: SecretCache, store: Store) -> None:
    store.value = "whsec_first whsec_second\nshort a"
    secrets.get(SOURCE)

    assert log.redact("whsec_second|whsec_first|short") == "[secret]|[secret]|short"
    assert log.redact(f"<{store.value}>") == "<[secret]>"


def test_waiting_counts_as_network_time(settings: Settings, time: FakeTime) -> None:
    def fetch(source: str) -> str:
        time.advance(1.5)
        return "value"

    with log.context():
        SecretCache(settings, fetch=fetch, clock=time.clock).get(SOURCE)
        assert log.network_seconds() == 1.5


# One read at a time


def test_many_threads_share_one_read(
    settings: Settings, hanging: HangingStore, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = waits(monkeypatch)
    secrets = SecretCache(settings, fetch=hanging)
    readers = [pool.submit(secrets.get, SOURCE) for _ in range(16)]
    for _ in readers:
        assert waiting.acquire(timeout=60)
    hanging.release.set()

    assert [reader.result(60) for reader in readers] == ["value-1"] * 16
    assert hanging.reads == 1


def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Return a semaphore that is released once per waiter."""
    waiting = threading.Semaphore(0)

    class Waiting(Future[str]):
        def exception(self, timeout: float | None = None) -> BaseException | None:
            waiting.release()
            return super().exception(60)

    monkeypatch.setattr(module, "Future", Waiting)
    return waiting


def test_an_unexpected_error_is_raised_in_the_waiting_thread_and_is_not_kept(
    secrets: SecretCache, store: Store
) -> None:
    store.error = ValueError("unexpected")
    with pytest.raises(RuntimeError, match="unexpected") as caught:
        secrets.get(SOURCE)
    assert caught.value.__cause__ is store.error
    store.error = None

    assert secrets.get(SOURCE) == "value-1"


# Outages and permanent errors


def test_a_stale_value_is_served_during_an_outage_with_a_warning(
    secrets: SecretCache, store: Store, time: FakeTime, lines: Lines
) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(301)

    assert secrets.get(SOURCE) == "value-1"
    (line,) = lines()
    assert (line["severity"], line["code"]) == ("WARNING", "stale_secret_served")
    assert line["message"] == f"{SOURCE}: 503; serving the value read 301 s ago"


def test_reads_are_retried_only_every_ten_seconds_during_an_outage(
    secrets: SecretCache, store: Store, time: FakeTime
) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(300)
    secrets.get(SOURCE)
    time.advance(9)
    secrets.get(SOURCE)
    assert store.reads == 2

    time.advance(1)
    secrets.get(SOURCE)
    assert store.reads == 3


def test_a_value_known_to_be_invalid_is_read_again_right_after_an_outage(
    secrets: SecretCache, store: Store, time: FakeTime
) -> None:
    secrets.get(SOURCE)
    time.advance(301)
    store.error = TemporaryError("503")
    secrets.get(SOURCE)
    store.value, store.error = "value-2", None

    assert secrets.get(SOURCE) == "value-1"
    assert secrets.refresh(SOURCE) == "value-2"


def test_the_end_of_an_outage_is_detected(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(300)
    secrets.get(SOURCE)
    store.error, store.value = None, "value-2"
    time.advance(10)

    assert secrets.get(SOURCE) == "value-2"


def test_a_stale_value_is_served_for_a_day_at_most(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")

    time.advance(MAX_STALE_SECONDS)
    assert secrets.get(SOURCE) == "value-1"
    assert MAX_STALE_SECONDS == 24 * 3600
    time.advance(10)
    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: 503"


def test_an_outage_without_a_cached_value_is_unavailable(secrets: SecretCache, store: Store) -> None:
    store.error = TemporaryError("503")

    unavailable(lambda: secrets.get(SOURCE))


def test_a_permanent_error_drops_the_value_immediately(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = PermanentError("403 Forbidden")
    time.advance(300)
    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: 403 Forbidden"

    store.error = TemporaryError("503")
    unavailable(lambda: secrets.get(SOURCE))


def test_a_permanent_error_ends_when_there_is_a_value(secrets: SecretCache, store: Store) -> None:
    store.error = PermanentError("404")
    unavailable(lambda: secrets.get(SOURCE))
    store.error = None

    assert secrets.get(SOURCE) == "value-1"


def test_an_empty_value_is_not_cached(secrets: SecretCache, store: Store) -> None:
    store.value = " \n"
    assert secrets.get(SOURCE) == ""
    store.value = "value-2"

    assert secrets.get(SOURCE) == "value-2"


# Refreshing


def test_a_refresh_shares_the_result_of_a_recent_one(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.refresh(SOURCE, min_interval=10)
    store.value = "value-2"
    time.advance(9)
    assert secrets.refresh(SOURCE, min_interval=10) == "value-1"
    time.advance(1)

    assert secrets.refresh(SOURCE, min_interval=10) == "value-2"


def test_a_refresh_uses_a_value_read_since_the_recent_one(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.refresh(SOURCE, min_interval=10)
    time.advance(1)
    store.value = "value-2"
    secrets.get(SOURCE, max_age=0)

    assert secrets.refresh(SOURCE, min_interval=10) == "value-2"
    assert store.reads == 2


def test_a_refresh_shares_the_failure_of_a_recent_one(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    """Otherwise, anyone could trigger reads during an outage."""
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    for _ in range(3):
        assert unavailable(lambda: secrets.refresh(SOURCE, min_interval=10)).cause == f"{SOURCE}: 503"
    assert store.reads == 2

    time.advance(10)
    store.error = None
    assert secrets.refresh(SOURCE, min_interval=10) == "value-1"


def test_a_shared_failure_does_not_collect_the_stack_frames_of_its_callers(secrets: SecretCache, store: Store) -> None:
    """Each callout's body would stay in memory with them."""
    store.error = TemporaryError("503")
    for _ in range(3):
        unavailable(lambda: secrets.refresh(SOURCE, min_interval=10))

    frames = [frame for frame, _ in traceback.walk_tb(store.error.__traceback__)]
    assert {frame.f_code.co_name for frame in frames} == {"_run", "__call__"}


# Reads that hang or can't start


@pytest.fixture
def hung(settings: Settings, time: FakeTime) -> Iterator["HungSource"]:
    hung = HungSource(settings, time)
    yield hung
    hung.release_all()


class HungSource:
    """A secret source whose reads hang until each gets its response."""

    def __init__(self, settings: Settings, time: FakeTime) -> None:
        self.secrets, self.time = SecretCache(settings, fetch=self._fetch, clock=time.clock), time
        self.reads: list[Future[str]] = []
        self._started = threading.Semaphore(0)

    def call(self, name: str = "get", **options: Any) -> str:
        """Call a method of the cache, with a deadline that has passed: it waits for nothing."""
        return str(getattr(self.secrets, name)(SOURCE, deadline=0, **options))

    def start_read(self, name: str = "get") -> Future[str]:
        """Call a method of the cache, which starts a read, and return the read's response-to-be."""
        with suppress(Unavailable):
            self.call(name)
        return self.next_read()

    def next_read(self) -> Future[str]:
        """Wait until a read has started, and return its response-to-be."""
        assert self._started.acquire(timeout=60)
        return self.reads[-1]

    def respond(self, read: Future[str], response: str | Exception) -> None:
        """Let the read finish with the response, and wait until it has."""
        threads = [thread for thread in threading.enumerate() if thread.name == f"read {self.reads.index(read)}"]
        read.set_exception(response) if isinstance(response, Exception) else read.set_result(response)
        for thread in threads:
            thread.join(60)

    def release_all(self) -> None:
        for read in self.reads:
            read.cancel()

    def _fetch(self, source: str) -> str:
        read: Future[str] = Future()
        threading.current_thread().name = f"read {len(self.reads)}"
        self.reads.append(read)
        self._started.release()
        return read.result(60)


def test_a_read_that_hangs_is_unavailable_without_a_cached_value(hung: HungSource) -> None:
    assert unavailable(hung.call).cause == f"{SOURCE}: timed out"
    hung.next_read()


@pytest.mark.parametrize("name", ["get", "refresh"])
def test_a_read_that_hangs_is_replaced_by_the_next_caller_after_its_timeout(hung: HungSource, name: str) -> None:
    hung.start_read(name)
    hung.time.advance(3.9)
    unavailable(lambda: hung.call(name))
    assert len(hung.reads) == 1

    hung.time.advance(0.1)
    hung.respond(hung.start_read(name), "value-2")
    assert hung.call() == "value-2"
    assert len(hung.reads) == 2


def test_while_many_reads_hang_a_source_is_read_again_only_every_ten_minutes(hung: HungSource) -> None:
    for _ in range(20):
        hung.start_read()
        hung.time.advance(4)
    unavailable(hung.call)
    hung.time.advance(595)
    unavailable(hung.call)
    assert len(hung.reads) == 20

    hung.time.advance(1)
    hung.start_read()
    for read in hung.reads[:2]:
        hung.respond(read, PermanentError("403"))
    hung.time.advance(4)
    hung.respond(hung.start_read(), "value-1")
    assert hung.call() == "value-1"


def test_a_caller_waits_for_a_read_in_progress_only_until_the_read_times_out(
    hung: HungSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = record_timeouts(monkeypatch)
    hung.start_read()
    hung.time.advance(3)
    unavailable(lambda: hung.secrets.get(SOURCE))

    assert timeouts == [0, 1.0]


def test_a_late_response_is_used_unless_a_later_read_was_faster(hung: HungSource) -> None:
    first = hung.start_read()
    hung.time.advance(4)
    second = hung.start_read()
    hung.time.advance(4)
    third = hung.start_read()

    hung.respond(second, "value-2")
    assert hung.call() == "value-2"
    hung.respond(first, "value-1")
    assert hung.call() == "value-2"
    hung.respond(third, "value-3")
    assert hung.call() == "value-3"


def test_a_late_response_does_not_restore_a_value_after_a_permanent_error(hung: HungSource) -> None:
    first = hung.start_read()
    hung.time.advance(4)
    hung.respond(hung.start_read(), PermanentError("403"))
    hung.respond(first, "value-1")

    unavailable(hung.call)


def test_a_late_permanent_error_does_not_drop_a_newer_value(hung: HungSource) -> None:
    first = hung.start_read()
    hung.time.advance(4)
    hung.respond(hung.start_read(), "value-2")
    hung.respond(first, PermanentError("403"))

    assert hung.call() == "value-2"


def test_the_age_of_a_value_counts_from_the_start_of_its_read(hung: HungSource) -> None:
    """The value may have changed while the response was on its way."""
    read = hung.start_read()
    hung.time.advance(299)
    hung.respond(read, "value-1")
    assert hung.call() == "value-1"
    assert len(hung.reads) == 1
    hung.time.advance(1)

    assert hung.start_read() is not read


def test_a_refresh_does_not_use_a_read_that_started_before_the_value_changed(hung: HungSource) -> None:
    before = hung.start_read()
    hung.time.advance(1)
    after = hung.start_read("refresh")
    assert after is not before
    hung.respond(after, "value-2")
    hung.respond(before, "value-1")

    assert hung.call() == "value-2"


def test_a_stale_value_is_served_while_a_read_hangs_and_only_the_first_caller_waits(
    hung: HungSource, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    hung.respond(hung.start_read(), "value-1")
    hung.time.advance(300)
    hung.start_read()
    timeouts = record_timeouts(monkeypatch)

    assert [hung.call() for _ in range(3)] == ["value-1"] * 3
    assert timeouts == []
    assert [line["code"] for line in lines()] == ["stale_secret_served"]
    hung.time.advance(10)
    hung.start_read()
    assert len(hung.reads) == 3


def test_callers_that_share_a_failed_read_log_it_once(hung: HungSource, lines: Lines) -> None:
    hung.respond(hung.start_read(), "value-1")

    assert [hung.secrets._serve_stale(SOURCE, "503") for _ in range(3)] == ["value-1"] * 3
    assert len(lines()) == 1


@pytest.mark.parametrize("name", ["get", "refresh"])
def test_a_read_whose_thread_cannot_start_is_unavailable_and_retried_by_the_next_caller(
    secrets: SecretCache, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        assert unavailable(lambda: getattr(secrets, name)(SOURCE)).cause == f"{SOURCE}: can't start new thread"

    assert getattr(secrets, name)(SOURCE) == "value-1"


def test_a_stale_value_is_served_if_no_thread_can_start(
    secrets: SecretCache, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.get(SOURCE)
    time.advance(300)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert secrets.get(SOURCE) == "value-1"


@pytest.mark.parametrize(
    ("name", "is_cached", "remaining", "timeout"),
    [
        ("get", False, 60, 4.0),
        ("get", True, 60, 1.0),
        ("refresh", True, 60, 4.0),
        ("get", False, 2.5, 2.5),
        ("get", True, 0.5, 0.5),
        ("refresh", True, 2.5, 2.5),
        ("get", False, -1, 0),
    ],
)
def test_the_read_timeout_is_shorter_with_a_cached_value_and_never_past_the_deadline(  # noqa: PLR0913, PLR0917
    secrets: SecretCache,
    time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_cached: bool,
    remaining: float,
    timeout: float,
) -> None:
    if is_cached:
        secrets.get(SOURCE)
        time.advance(300)
    timeouts = record_timeouts(monkeypatch)
    with suppress(Unavailable):
        getattr(secrets, name)(SOURCE, deadline=time.monotonic + remaining)

    assert timeouts == [timeout]


def record_timeouts(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Return the list of the timeouts of all further waits, which time out immediately."""
    timeouts: list[float | None] = []

    class Recording(Future[str]):
        def exception(self, timeout: float | None = None) -> BaseException | None:
            timeouts.append(timeout)
            return super().exception(0)

    monkeypatch.setattr(module, "Future", Recording)
    return timeouts


# event.secrets


@pytest.fixture
def action_secrets(secrets: SecretCache) -> ActionSecrets:
    return ActionSecrets({"SENDGRID_API_KEY": SOURCE, "SLACK_TOKEN": "projects/p/secrets/slack"}, secrets)


def test_a_secret_is_read_by_attribute_or_name_on_first_use(action_secrets: ActionSecrets, store: Store) -> None:
    assert list(action_secrets) == ["SENDGRID_API_KEY", "SLACK_TOKEN"]
    assert len(action_secrets) == 2
    assert store.reads == 0

    assert action_secrets.SENDGRID_API_KEY == action_secrets["SENDGRID_API_KEY"] == "value-1"
    assert store.reads == 1


def test_an_undeclared_secret_is_an_error_that_states_how_to_declare_it(action_secrets: ActionSecrets) -> None:
    with pytest.raises(
        AttributeError, match=r"^no secret named X: declare X_SECRET; declared: SENDGRID_API_KEY, SLACK_TO"
    ):
        _ = action_secrets.X
    with pytest.raises(KeyError):
        _ = action_secrets["X"]
    assert action_secrets.get("X") is None


def test_the_repr_of_secrets_is_redacted(action_secrets: ActionSecrets) -> None:
    assert repr(action_secrets) == "ActionSecrets(SENDGRID_API_KEY, SLACK_TOKEN)"
    assert repr(action_secrets.SENDGRID_API_KEY) == "'[secret]'"
    assert "value" not in repr(dict(action_secrets))
    assert str(action_secrets.SENDGRID_API_KEY) == "value-1"


def test_refreshing_during_an_outage_never_returns_the_stale_value(action_secrets: ActionSecrets, store: Store) -> None:
    """A caller that refreshes knows the cached value was rejected."""
    key = action_secrets.SENDGRID_API_KEY
    store.error = TemporaryError("503")

    assert unavailable(key.refresh).cause == f"{SOURCE}: 503"


def test_refreshing_bypasses_the_cache_each_time(action_secrets: ActionSecrets, store: Store) -> None:
    key = action_secrets.SENDGRID_API_KEY
    store.value = "value-2"
    fresh = key.refresh()
    store.value = "value-3"

    assert (key, fresh, fresh.refresh()) == ("value-1", "value-2", "value-3")
    assert isinstance(fresh, Secret)
    assert action_secrets.SENDGRID_API_KEY == "value-3"


def test_reading_and_refreshing_an_action_secret_respects_the_deadline(hung: HungSource) -> None:
    action_secrets = ActionSecrets({"A": SOURCE}, hung.secrets, deadline=hung.time.monotonic)
    unavailable(lambda: action_secrets.A)
    hung.respond(hung.next_read(), "value-1")

    unavailable(action_secrets.A.refresh)


# Mounted files


@pytest.fixture
def mounted(settings: Settings, time: FakeTime) -> SecretCache:
    return SecretCache(settings, clock=time.clock)


def test_a_mounted_file_is_read_again_without_its_trailing_newline(
    mounted: SecretCache, tmp_path: Path, time: FakeTime
) -> None:
    file = tmp_path / "key"
    file.write_text("välue\n", "utf-8")
    assert mounted.get(str(file)) == "välue"
    file.write_text("new", "utf-8")
    time.advance(300)

    assert mounted.get(str(file)) == "new"


def test_a_file_that_is_missing_or_not_utf8_is_a_permanent_error(
    mounted: SecretCache, tmp_path: Path, time: FakeTime
) -> None:
    file = tmp_path / "key"
    file.write_text("value")
    mounted.get(str(file))
    time.advance(300)

    file.write_bytes(b"\xff")
    assert unavailable(lambda: mounted.get(str(file))).cause == f"{file}: UnicodeDecodeError"
    file.unlink()
    assert unavailable(lambda: mounted.get(str(file))).cause == f"{file}: FileNotFoundError"


def test_a_file_that_is_temporarily_unreadable_is_an_outage(
    mounted: SecretCache, tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("value")
    mounted.get(str(file))
    time.advance(300)

    def fail(*_: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", fail)
    assert mounted.get(str(file)) == "value"


def test_a_file_error_without_a_message_is_reported_by_its_type(
    mounted: SecretCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> str:
        raise BlockingIOError

    monkeypatch.setattr(Path, "read_text", fail)
    assert unavailable(lambda: mounted.get(str(tmp_path))).cause == f"{tmp_path}: BlockingIOError"


# Secret Manager, through the official client

GOOGLE = "https://secretmanager.googleapis.com/v1"
REGIONAL = "https://secretmanager.europe-west3.rep.googleapis.com/v1"


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """Mock Google's API, with anonymous credentials."""
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    monkeypatch.setattr("google.auth.default", lambda **_: (anonymous, "p"))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def payload(data: bytes) -> dict[str, Any]:
    return {"name": f"{SOURCE}/versions/1", "payload": {"data": base64.b64encode(data).decode()}}


@pytest.mark.parametrize(
    ("source", "url"),
    [
        (SOURCE, f"{GOOGLE}/{SOURCE}/versions/latest:access"),
        (f"{SOURCE}/versions/3", f"{GOOGLE}/{SOURCE}/versions/3:access"),
        (
            "projects/p/locations/europe-west3/secrets/s",
            f"{REGIONAL}/projects/p/locations/europe-west3/secrets/s/versions/latest:access",
        ),
    ],
)
def test_requests_go_to_googles_documented_urls(
    manager: responses.RequestsMock, settings: Settings, source: str, url: str
) -> None:
    manager.get(url, json=payload(b"value\n"))

    assert SecretCache(settings).get(source) == "value"
    assert manager.calls[0].request.req_kwargs["timeout"] == 2  # type: ignore[attr-defined]


def test_the_emulators_endpoint_needs_no_google_credentials(
    manager: responses.RequestsMock, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise AssertionError("searched for credentials")

    monkeypatch.setattr("google.auth.default", fail)
    manager.get(f"http://127.0.0.1:1/v1/{SOURCE}/versions/latest:access", json=payload(b"value"))
    secrets = SecretCache(make_settings(SECRET_MANAGER_ENDPOINT="http://127.0.0.1:1"))

    assert secrets.get(SOURCE) == "value"


def test_the_client_is_created_once(
    manager: responses.RequestsMock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", json=payload(b"value"))
    create, locations = secret_sources._create_client, []

    def count(endpoint: str, location: str) -> Any:
        locations.append(location)
        return create(endpoint, location)

    monkeypatch.setattr(secret_sources, "_create_client", count)
    secrets = SecretCache(settings)

    secrets.get(SOURCE)
    secrets.get(SOURCE, max_age=0)

    assert locations == [""]


def error(status: int, reason: str = "") -> dict[str, Any]:
    return {"status": status, "json": {"error": {"code": status, "message": "a text", "status": reason}}}


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (error(500), "500 InternalServerError"),
        (error(503, "UNAVAILABLE"), "503 ServiceUnavailable"),
        (error(504), "504 GatewayTimeout"),
        (error(429, "RESOURCE_EXHAUSTED"), "429 TooManyRequests"),
        ({"body": requests.ConnectionError("reset")}, "ConnectionError"),
        ({"body": requests.ReadTimeout("slow")}, "ReadTimeout"),
        ({"status": 502, "body": "<html>a page</html>"}, "502 BadGateway"),
        ({"status": 200, "body": "<html>a page</html>"}, "ParseError"),
    ],
)
def test_an_outage_of_secret_manager_is_retried_once_after_a_tenth_of_a_second(
    manager: responses.RequestsMock, settings: Settings, time: FakeTime, response: dict[str, Any], cause: str
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", **response)
    secrets = SecretCache(settings, clock=time.clock)

    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: Secret Manager: {cause}"
    assert (len(manager.calls), time.slept) == (2, [0.1])


def test_the_second_attempt_can_succeed(manager: responses.RequestsMock, settings: Settings, time: FakeTime) -> None:
    url = f"{GOOGLE}/{SOURCE}/versions/latest:access"
    manager.get(url, **error(503))
    manager.get(url, json=payload(b"value"))

    assert SecretCache(settings, clock=time.clock).get(SOURCE) == "value"


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (error(403, "PERMISSION_DENIED"), "403 "),
        (error(404, "NOT_FOUND"), "404 NotFound"),
        (error(400, "FAILED_PRECONDITION"), "400 "),
        ({"json": payload(b"\xff")}, "UnicodeDecodeError"),
    ],
)
def test_a_permanent_error_is_not_retried_and_its_text_is_not_exposed(
    manager: responses.RequestsMock, settings: Settings, response: dict[str, Any], cause: str
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", **response)

    unreadable = unavailable(lambda: SecretCache(settings).get(SOURCE))

    assert unreadable.cause.startswith(f"{SOURCE}: Secret Manager: {cause}")
    assert "a text" not in unreadable.cause
    assert len(manager.calls) == 1


def test_missing_credentials_are_an_outage(
    manager: responses.RequestsMock, settings: Settings, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr("google.auth.default", fail)

    secrets = SecretCache(settings, clock=time.clock)
    cause = unavailable(lambda: secrets.get(SOURCE)).cause
    assert cause == f"{SOURCE}: Secret Manager: DefaultCredentialsError"
