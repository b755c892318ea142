import base64
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """What holds the secret; counts how often it is asked."""

    def __init__(self) -> None:
        self.value, self.asked = "value-1", 0
        self.error: Exception | None = None

    def __call__(self, source: str) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return self.value


class Hanging(Store):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.let = threading.Semaphore(0), threading.Event()

    def __call__(self, source: str) -> str:
        self.reading.release()
        assert self.let.wait(60)
        return super().__call__(source)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.let.set()


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


def test_value_is_read_once_within_its_age_and_then_again(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    assert secrets.get(SOURCE) == "value-1"
    store.value = "value-2"
    time.advance(299)
    assert secrets.get(SOURCE) == "value-1"
    time.advance(1)

    assert secrets.get(SOURCE) == "value-2"
    assert store.asked == 2


def test_age_is_the_settings(make_settings: MakeSettings, store: Store, time: FakeTime) -> None:
    secrets = SecretCache(make_settings(SECRET_MAX_AGE_SECONDS="0"), fetch=store, clock=time.clock)
    secrets.get(SOURCE)
    secrets.get(SOURCE)

    assert store.asked == 2


def test_younger_value_may_be_asked_for(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    time.advance(10)

    secrets.get(SOURCE, max_age=11)
    assert store.asked == 1
    secrets.get(SOURCE, max_age=10)
    assert store.asked == 2


def test_white_space_around_the_value_is_stripped(secrets: SecretCache, store: Store) -> None:
    store.value = " \tvalue\r\n"

    assert secrets.get(SOURCE) == "value"


def test_each_source_has_its_own_value(settings: Settings, time: FakeTime) -> None:
    secrets = SecretCache(settings, fetch=lambda source: source[-1], clock=time.clock)

    assert (secrets.get("projects/p/secrets/a"), secrets.get("projects/p/secrets/b")) == ("a", "b")


def test_what_is_read_is_hidden_in_the_log_as_a_whole_and_by_word(secrets: SecretCache, store: Store) -> None:
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


# Single flight


def test_many_threads_share_one_reading(
    settings: Settings, hanging: Hanging, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = waits(monkeypatch)
    secrets = SecretCache(settings, fetch=hanging)
    readers = [pool.submit(secrets.get, SOURCE) for _ in range(16)]
    for _ in readers:
        assert waiting.acquire(timeout=60)
    hanging.let.set()

    assert [reader.result(60) for reader in readers] == ["value-1"] * 16
    assert hanging.asked == 1


def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released once for each that waits for a reading."""
    waiting = threading.Semaphore(0)

    class Waiting(Future[str]):
        def result(self, timeout: float | None = None) -> str:
            waiting.release()
            return super().result(60)

    monkeypatch.setattr(module, "Future", Waiting)
    return waiting


def test_unforeseen_error_of_a_reading_reaches_who_waits_and_is_not_kept(secrets: SecretCache, store: Store) -> None:
    store.error = ValueError("unforeseen")
    with pytest.raises(ValueError, match="unforeseen"):
        secrets.get(SOURCE)
    store.error = None

    assert secrets.get(SOURCE) == "value-1"


# Outage and refusal


def test_old_value_serves_in_an_outage_with_a_warning(
    secrets: SecretCache, store: Store, time: FakeTime, lines: Lines
) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(301)

    assert secrets.get(SOURCE) == "value-1"
    (line,) = lines()
    assert (line["severity"], line["code"]) == ("WARNING", "stale_secret_served")
    assert line["message"] == f"{SOURCE}: 503; the value read 301 s ago serves"


def test_outage_is_asked_about_again_only_every_ten_seconds(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(300)
    secrets.get(SOURCE)
    time.advance(9)
    secrets.get(SOURCE)
    assert store.asked == 2

    time.advance(1)
    secrets.get(SOURCE)
    assert store.asked == 3


def test_value_that_is_known_to_be_no_good_is_read_anew_right_after_an_outage(
    secrets: SecretCache, store: Store, time: FakeTime
) -> None:
    secrets.get(SOURCE)
    time.advance(301)
    store.error = TemporaryError("503")
    secrets.get(SOURCE)
    store.value, store.error = "value-2", None

    assert secrets.get(SOURCE) == "value-1"
    assert secrets.get(SOURCE, max_age=0) == "value-2"


def test_end_of_an_outage_is_noticed(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")
    time.advance(300)
    secrets.get(SOURCE)
    store.error, store.value = None, "value-2"
    time.advance(10)

    assert secrets.get(SOURCE) == "value-2"


def test_old_value_serves_a_day_and_not_a_second_more(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = TemporaryError("503")

    time.advance(MAX_STALE_SECONDS)
    assert secrets.get(SOURCE) == "value-1"
    assert MAX_STALE_SECONDS == 24 * 3600
    time.advance(10)
    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: 503"


def test_outage_without_an_old_value_is_unavailable(secrets: SecretCache, store: Store) -> None:
    store.error = TemporaryError("503")

    unavailable(lambda: secrets.get(SOURCE))


def test_refusal_drops_the_value_at_once(secrets: SecretCache, store: Store, time: FakeTime) -> None:
    secrets.get(SOURCE)
    store.error = PermanentError("403 Forbidden")
    time.advance(300)
    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: 403 Forbidden"

    store.error = TemporaryError("503")
    unavailable(lambda: secrets.get(SOURCE))


def test_refusal_ends_with_a_value(secrets: SecretCache, store: Store) -> None:
    store.error = PermanentError("404")
    unavailable(lambda: secrets.get(SOURCE))
    store.error = None

    assert secrets.get(SOURCE) == "value-1"


# What hangs


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(module, "SHORT_PATIENCE_SECONDS", 0)


@pytest.mark.usefixtures("_impatient")
def test_reading_that_hangs_is_unavailable_without_an_old_value(
    settings: Settings, hanging: Hanging, time: FakeTime
) -> None:
    secrets = SecretCache(settings, fetch=hanging, clock=time.clock)

    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: no answer in time"


def test_old_value_serves_while_a_reading_hangs(
    settings: Settings, hanging: Hanging, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = SecretCache(settings, fetch=hanging, clock=time.clock)
    hanging.let.set()
    secrets.get(SOURCE)
    hanging.let.clear()
    monkeypatch.setattr(module, "SHORT_PATIENCE_SECONDS", 0)
    time.advance(300)

    assert secrets.get(SOURCE) == "value-1"
    assert secrets.get(SOURCE) == "value-1"
    assert hanging.reading.acquire(timeout=60)
    assert hanging.reading.acquire(timeout=60)
    assert not hanging.reading.acquire(blocking=False)  # the third asked nobody


@pytest.mark.parametrize("answer", ["value-2", PermanentError("403")])
def test_late_answer_is_not_undone_by_who_did_not_wait_for_it(
    settings: Settings, time: FakeTime, answer: str | Exception
) -> None:
    """A reading that times out falls back to the old value, and must not put that in the place of a newer answer."""
    answers: list[str | Exception] = ["value-1", answer]

    def fetch(source: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    secrets = SecretCache(settings, fetch=fetch, clock=time.clock)
    secrets.get(SOURCE)
    old = secrets._values[SOURCE]
    try:
        secrets.get(SOURCE, max_age=0)
    except Unavailable:
        assert isinstance(answer, PermanentError)
    after = secrets._values.get(SOURCE)

    assert secrets._old(SOURCE, old, "no answer in time") == "value-1"
    assert secrets._values.get(SOURCE) is after


@pytest.mark.parametrize(
    ("old", "max_age", "left", "patience"),
    [
        (False, None, 60, 4.0),
        (True, None, 60, 1.0),
        (True, 0, 60, 4.0),
        (False, None, 2.5, 2.5),
        (True, None, 0.5, 0.5),
        (False, None, -1, 0),
    ],
)
def test_patience_is_shorter_with_an_old_value_and_never_past_the_deadline(  # noqa: PLR0913, PLR0917
    secrets: SecretCache,
    time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    old: bool,
    max_age: float | None,
    left: float,
    patience: float,
) -> None:
    if old:
        secrets.get(SOURCE)
        time.advance(300)
    waited: list[float | None] = []

    class Recording(Future[str]):
        def result(self, timeout: float | None = None) -> str:
            waited.append(timeout)
            return super().result(60)

    monkeypatch.setattr(module, "Future", Recording)

    secrets.get(SOURCE, max_age=max_age, deadline=time.monotonic + left)

    assert waited == [patience]


# event.secrets


@pytest.fixture
def action_secrets(secrets: SecretCache) -> ActionSecrets:
    return ActionSecrets({"SENDGRID_API_KEY": SOURCE, "SLACK_TOKEN": "projects/p/secrets/slack"}, secrets)


def test_secret_is_read_by_dot_and_by_name_when_it_is_used(action_secrets: ActionSecrets, store: Store) -> None:
    assert list(action_secrets) == ["SENDGRID_API_KEY", "SLACK_TOKEN"]
    assert len(action_secrets) == 2
    assert store.asked == 0

    assert action_secrets.SENDGRID_API_KEY == action_secrets["SENDGRID_API_KEY"] == "value-1"
    assert store.asked == 1


def test_undeclared_secret_is_an_error_that_says_how_to_declare_it(action_secrets: ActionSecrets) -> None:
    with pytest.raises(AttributeError, match=r"^no secret X: declare X_SECRET; declared: SENDGRID_API_KEY, SLACK_TO"):
        _ = action_secrets.X
    with pytest.raises(KeyError):
        _ = action_secrets["X"]
    assert action_secrets.get("X") is None


def test_repr_of_secrets_is_masked(action_secrets: ActionSecrets) -> None:
    assert repr(action_secrets) == "ActionSecrets(SENDGRID_API_KEY, SLACK_TOKEN)"
    assert repr(action_secrets.SENDGRID_API_KEY) == "'[secret]'"
    assert "value" not in repr(dict(action_secrets))
    assert str(action_secrets.SENDGRID_API_KEY) == "value-1"


def test_a_secret_that_was_refused_is_never_renewed_by_itself(action_secrets: ActionSecrets, store: Store) -> None:
    """In an outage the old value is none: whoever renews it has been told so."""
    key = action_secrets.SENDGRID_API_KEY
    store.error = TemporaryError("503")

    assert unavailable(key.refresh).cause == f"{SOURCE}: 503"


def test_renewed_secret_is_read_past_the_cache_each_time(action_secrets: ActionSecrets, store: Store) -> None:
    key = action_secrets.SENDGRID_API_KEY
    store.value = "value-2"
    fresh = key.refresh()
    store.value = "value-3"

    assert (key, fresh, fresh.refresh()) == ("value-1", "value-2", "value-3")
    assert isinstance(fresh, Secret)
    assert action_secrets.SENDGRID_API_KEY == "value-3"


@pytest.mark.usefixtures("_impatient")
def test_secret_of_an_action_is_awaited_no_longer_than_its_deadline(
    settings: Settings, hanging: Hanging, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60)
    secrets = SecretCache(settings, fetch=hanging, clock=time.clock)
    action_secrets = ActionSecrets({"A": SOURCE}, secrets, deadline=time.monotonic)

    unavailable(lambda: action_secrets.A)


# Mounted files


@pytest.fixture
def mounted(settings: Settings, time: FakeTime) -> SecretCache:
    return SecretCache(settings, clock=time.clock)


def test_mounted_file_is_read_without_its_trailing_newline_and_again(
    mounted: SecretCache, tmp_path: Path, time: FakeTime
) -> None:
    file = tmp_path / "key"
    file.write_text("välue\n", "utf-8")
    assert mounted.get(str(file)) == "välue"
    file.write_text("new", "utf-8")
    time.advance(300)

    assert mounted.get(str(file)) == "new"


def test_missing_file_or_one_that_is_not_utf8_is_a_refusal(
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


def test_file_that_cannot_be_read_now_is_an_outage(
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


def test_error_of_a_file_without_words_is_named_by_its_kind(
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
    """Google's side; who asks has credentials."""
    anyone = AnonymousCredentials()  # type: ignore[no-untyped-call]
    monkeypatch.setattr("google.auth.default", lambda **_: (anyone, "p"))
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
def test_secret_manager_is_asked_where_google_says(
    manager: responses.RequestsMock, settings: Settings, source: str, url: str
) -> None:
    manager.get(url, json=payload(b"value\n"))

    assert SecretCache(settings).get(source) == "value"
    assert manager.calls[0].request.req_kwargs["timeout"] == 2  # type: ignore[attr-defined]


def test_endpoint_of_the_emulator_needs_no_google_credentials(
    manager: responses.RequestsMock, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise AssertionError("credentials were looked for")

    monkeypatch.setattr("google.auth.default", fail)
    manager.get(f"http://127.0.0.1:1/v1/{SOURCE}/versions/latest:access", json=payload(b"value"))
    secrets = SecretCache(make_settings(SECRET_MANAGER_ENDPOINT="http://127.0.0.1:1"))

    assert secrets.get(SOURCE) == "value"


def test_client_is_made_once(
    manager: responses.RequestsMock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", json=payload(b"value"))
    make, made = secret_sources._client, []

    def count(endpoint: str, location: str) -> Any:
        made.append(location)
        return make(endpoint, location)

    monkeypatch.setattr(secret_sources, "_client", count)
    secrets = SecretCache(settings)

    secrets.get(SOURCE)
    secrets.get(SOURCE, max_age=0)

    assert made == [""]


def error(status: int, reason: str = "") -> dict[str, Any]:
    return {"status": status, "json": {"error": {"code": status, "message": "a text", "status": reason}}}


@pytest.mark.parametrize(
    ("fault", "cause"),
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
def test_outage_of_secret_manager_is_tried_again_once_after_a_tenth_of_a_second(
    manager: responses.RequestsMock, settings: Settings, time: FakeTime, fault: dict[str, Any], cause: str
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", **fault)
    secrets = SecretCache(settings, clock=time.clock)

    assert unavailable(lambda: secrets.get(SOURCE)).cause == f"{SOURCE}: Secret Manager: {cause}"
    assert (len(manager.calls), time.slept) == (2, [0.1])


def test_second_attempt_may_succeed(manager: responses.RequestsMock, settings: Settings, time: FakeTime) -> None:
    url = f"{GOOGLE}/{SOURCE}/versions/latest:access"
    manager.get(url, **error(503))
    manager.get(url, json=payload(b"value"))

    assert SecretCache(settings, clock=time.clock).get(SOURCE) == "value"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (error(403, "PERMISSION_DENIED"), "403 "),
        (error(404, "NOT_FOUND"), "404 NotFound"),
        (error(400, "FAILED_PRECONDITION"), "400 "),
        ({"json": payload(b"\xff")}, "UnicodeDecodeError"),
    ],
)
def test_refusal_of_secret_manager_is_final_and_its_text_is_not_repeated(
    manager: responses.RequestsMock, settings: Settings, fault: dict[str, Any], cause: str
) -> None:
    manager.get(f"{GOOGLE}/{SOURCE}/versions/latest:access", **fault)

    refused = unavailable(lambda: SecretCache(settings).get(SOURCE))

    assert refused.cause.startswith(f"{SOURCE}: Secret Manager: {cause}")
    assert "a text" not in refused.cause
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
