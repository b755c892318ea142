import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from runtime import idempotency as module
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.http import JsonResponse
from runtime.idempotency import CompletedActions, IdempotencyCache
from tests.conftest import FakeTime

SENT = JsonResponse(200, {"status": "sent", "id": "msg_1"})
FAILED = JsonResponse(503, {"error": {}})
FAR_DEADLINE = 1e9


class Work:
    """Counts its runs, and returns the responses in order; the last one repeats."""

    def __init__(self, *responses: JsonResponse) -> None:
        self.responses, self.runs = list(responses), 0

    def __call__(self, done: CompletedActions) -> JsonResponse:
        self.runs += 1
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


@pytest.fixture
def cache(time: FakeTime) -> IdempotencyCache:
    return IdempotencyCache(time.clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_a_duplicate_after_a_success_returns_the_first_response(cache: IdempotencyCache) -> None:
    work = Work(SENT)

    assert cache.run("k", FAR_DEADLINE, work) == SENT
    assert cache.run("k", FAR_DEADLINE, work) == JsonResponse(200, {"status": "duplicate", "id": "msg_1"})
    assert cache.run("k", FAR_DEADLINE, work).body["status"] == "duplicate"
    assert work.runs == 1


def test_the_first_response_is_not_changed_by_duplicates(cache: IdempotencyCache) -> None:
    response = cache.run("k", FAR_DEADLINE, Work(SENT))
    cache.run("k", FAR_DEADLINE, Work(SENT))

    assert response.body["status"] == "sent"


def test_another_key_runs(cache: IdempotencyCache) -> None:
    work = Work(SENT)
    cache.run("a", FAR_DEADLINE, work)

    assert cache.run("b", FAR_DEADLINE, work) == SENT
    assert work.runs == 2


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failure_is_never_kept(cache: IdempotencyCache, status: int) -> None:
    work = Work(failed := FAILED._replace(status=status), SENT)

    assert cache.run("k", FAR_DEADLINE, work) == failed
    assert cache.run("k", FAR_DEADLINE, work) == SENT
    assert work.runs == 2


def test_an_exception_is_never_kept(cache: IdempotencyCache) -> None:
    def fail(done: CompletedActions) -> JsonResponse:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        cache.run("k", FAR_DEADLINE, fail)
    assert cache.run("k", FAR_DEADLINE, Work(SENT)) == SENT


def test_completed_actions_are_passed_to_the_next_run(cache: IdempotencyCache) -> None:
    def first(done: CompletedActions) -> JsonResponse:
        done["email"] = "outcome"
        return FAILED

    seen: list[CompletedActions] = []

    def second(done: CompletedActions) -> JsonResponse:
        seen.append(dict(done))
        return SENT

    cache.run("k", FAR_DEADLINE, first)
    cache.run("k", FAR_DEADLINE, second)

    assert seen == [{"email": "outcome"}]


def test_a_success_is_kept_for_fifteen_minutes(cache: IdempotencyCache, time: FakeTime) -> None:
    work = Work(SENT)
    cache.run("k", FAR_DEADLINE, work)

    time.advance(15 * 60 - 1)
    assert cache.run("k", FAR_DEADLINE, work).body["status"] == "duplicate"
    time.advance(1)
    assert cache.run("k", FAR_DEADLINE, work) == SENT


def test_a_partial_success_is_evicted_after_fifteen_minutes(cache: IdempotencyCache, time: FakeTime) -> None:
    def partly(done: CompletedActions) -> JsonResponse:
        assert not done
        done["email"] = "outcome"
        return FAILED

    cache.run("k", FAR_DEADLINE, partly)
    time.advance(15 * 60)

    assert cache.run("k", FAR_DEADLINE, partly) == FAILED


def test_a_newer_entry_survives_the_expiry_of_an_older_one(cache: IdempotencyCache, time: FakeTime) -> None:
    cache.run("old", FAR_DEADLINE, Work(SENT))
    time.advance(10)
    cache.run("young", FAR_DEADLINE, Work(SENT))
    time.advance(15 * 60 - 10)

    assert cache.run("old", FAR_DEADLINE, Work(SENT)) == SENT
    assert cache.run("young", FAR_DEADLINE, Work(SENT)).body["status"] == "duplicate"


def test_ten_thousand_entries_are_kept_and_the_oldest_is_evicted_first(cache: IdempotencyCache) -> None:
    for number in range(module.MAX_ENTRIES):
        cache.run(str(number), FAR_DEADLINE, Work(SENT))

    assert module.MAX_ENTRIES == 10_000
    assert cache.run("0", FAR_DEADLINE, Work(SENT)).body["status"] == "duplicate"  # the oldest entry of a full cache
    assert cache.run("one more", FAR_DEADLINE, Work(SENT)) == SENT
    assert len(cache._entries) == 10_000
    assert cache.run("1", FAR_DEADLINE, Work(SENT)).body["status"] == "duplicate"
    assert cache.run("0", FAR_DEADLINE, Work(SENT)) == SENT


def test_failures_use_no_space(cache: IdempotencyCache) -> None:
    cache.run("k", FAR_DEADLINE, Work(FAILED))

    assert not cache._entries


class SlowWork:
    """Work that signals when it runs, and finishes when `release` is set."""

    def __init__(self, result: JsonResponse | Exception) -> None:
        self.result, self.runs = result, 0
        self.running, self.release = threading.Event(), threading.Event()

    def __call__(self, done: CompletedActions) -> JsonResponse:
        self.runs += 1
        self.running.set()
        assert self.release.wait(60)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Waiting(Future[JsonResponse]):
    """A future that signals each waiter."""

    waits = threading.Semaphore(0)

    def result(self, timeout: float | None = None) -> JsonResponse:
        self.waits.release()
        return super().result(timeout)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Return a semaphore that is released once per waiter."""
    monkeypatch.setattr(module, "Future", Waiting)
    monkeypatch.setattr(Waiting, "waits", threading.Semaphore(0))
    return Waiting.waits


@pytest.mark.parametrize("response", [SENT, FAILED])
def test_a_duplicate_during_the_first_run_waits_for_its_response(
    pool: ThreadPoolExecutor, cache: IdempotencyCache, waits: threading.Semaphore, response: JsonResponse
) -> None:
    work = SlowWork(response)
    first = pool.submit(cache.run, "k", FAR_DEADLINE, work)
    assert work.running.wait(60)
    others = [pool.submit(cache.run, "k", FAR_DEADLINE, work) for _ in range(5)]
    for _ in others:
        assert waits.acquire(timeout=60)
    work.release.set()

    assert [future.result(60) for future in (first, *others)] == [response] * 6
    assert work.runs == 1


def test_the_failure_of_an_evicted_run_does_not_affect_the_next_run_of_its_key(
    pool: ThreadPoolExecutor, cache: IdempotencyCache, waits: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    evicted, next_one = SlowWork(FAILED), SlowWork(SENT)
    runs = [pool.submit(cache.run, "k", FAR_DEADLINE, evicted)]
    assert evicted.running.wait(60)
    cache.run("another", FAR_DEADLINE, Work(SENT))
    runs.append(pool.submit(cache.run, "k", FAR_DEADLINE, next_one))
    assert next_one.running.wait(60)
    evicted.release.set()
    assert runs[0].result(60) == FAILED

    third = pool.submit(cache.run, "k", FAR_DEADLINE, next_one)
    assert waits.acquire(timeout=60)
    next_one.release.set()
    assert (runs[1].result(60), third.result(60), next_one.runs) == (SENT, SENT, 1)


def test_an_exception_in_the_first_run_is_raised_in_its_duplicates(
    pool: ThreadPoolExecutor, cache: IdempotencyCache, waits: threading.Semaphore
) -> None:
    work = SlowWork(ValueError("broken"))
    first = pool.submit(cache.run, "k", FAR_DEADLINE, work)
    assert work.running.wait(60)
    second = pool.submit(cache.run, "k", FAR_DEADLINE, work)
    assert waits.acquire(timeout=60)
    work.release.set()

    for future in (first, second):
        with pytest.raises(ValueError, match="broken"):
            future.result(60)


@pytest.mark.parametrize("remaining", [0, -5])
def test_a_duplicate_that_waits_past_its_deadline_is_in_progress(
    pool: ThreadPoolExecutor, cache: IdempotencyCache, time: FakeTime, remaining: float
) -> None:
    work = SlowWork(SENT)
    first = pool.submit(cache.run, "k", FAR_DEADLINE, work)
    assert work.running.wait(60)

    with pytest.raises(Unavailable) as caught:
        cache.run("k", time.monotonic + remaining, work)
    work.release.set()

    assert (caught.value.code, caught.value.status) == ("in_progress", 503)
    assert first.result(60) == SENT
    assert cache.run("k", FAR_DEADLINE, work).body["status"] == "duplicate"


@pytest.mark.parametrize(("remaining", "timeout"), [(5.5, 5.5), (-1, 0)])
def test_a_duplicate_waits_until_its_deadline(
    cache: IdempotencyCache, time: FakeTime, monkeypatch: pytest.MonkeyPatch, remaining: float, timeout: float
) -> None:
    timeouts: list[float | None] = []

    class Never(Future[JsonResponse]):
        def result(self, timeout: float | None = None) -> JsonResponse:
            timeouts.append(timeout)
            raise TimeoutError

    monkeypatch.setattr(module, "Future", Never)

    def duplicate(done: CompletedActions) -> JsonResponse:
        return cache.run("k", time.monotonic + remaining, Work(SENT))

    with pytest.raises(Unavailable):
        cache.run("k", FAR_DEADLINE, duplicate)
    assert timeouts == [timeout]


def test_the_default_clock_is_the_process_clock() -> None:
    assert IdempotencyCache()._clock == Clock()
