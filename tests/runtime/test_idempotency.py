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
LONG = 1e9  # a deadline that is far away


class Work:
    """Counts its runs, and gives the answers one after the other, the last for ever."""

    def __init__(self, *answers: JsonResponse) -> None:
        self.answers, self.runs = list(answers), 0

    def __call__(self, done: CompletedActions) -> JsonResponse:
        self.runs += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def once(time: FakeTime) -> IdempotencyCache:
    return IdempotencyCache(time.clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_same_again_after_success_is_a_duplicate_of_the_first_answer(once: IdempotencyCache) -> None:
    work = Work(SENT)

    assert once.run("k", LONG, work) == SENT
    assert once.run("k", LONG, work) == JsonResponse(200, {"status": "duplicate", "id": "msg_1"})
    assert once.run("k", LONG, work).body["status"] == "duplicate"
    assert work.runs == 1


def test_first_answer_is_not_changed_by_its_duplicates(once: IdempotencyCache) -> None:
    answer = once.run("k", LONG, Work(SENT))
    once.run("k", LONG, Work(SENT))

    assert answer.body["status"] == "sent"


def test_other_keys_run(once: IdempotencyCache) -> None:
    work = Work(SENT)
    once.run("a", LONG, work)

    assert once.run("b", LONG, work) == SENT
    assert work.runs == 2


@pytest.mark.parametrize("status", [500, 502, 503])
def test_failure_is_never_kept(once: IdempotencyCache, status: int) -> None:
    work = Work(failed := FAILED._replace(status=status), SENT)

    assert once.run("k", LONG, work) == failed
    assert once.run("k", LONG, work) == SENT
    assert work.runs == 2


def test_exception_is_never_kept(once: IdempotencyCache) -> None:
    def fail(done: CompletedActions) -> JsonResponse:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        once.run("k", LONG, fail)
    assert once.run("k", LONG, Work(SENT)) == SENT


def test_what_has_succeeded_is_handed_to_the_next_run(once: IdempotencyCache) -> None:
    def first(done: CompletedActions) -> JsonResponse:
        done["mail"] = "outcome"
        return FAILED

    seen: list[CompletedActions] = []

    def second(done: CompletedActions) -> JsonResponse:
        seen.append(dict(done))
        return SENT

    once.run("k", LONG, first)
    once.run("k", LONG, second)

    assert seen == [{"mail": "outcome"}]


def test_success_is_kept_fifteen_minutes(once: IdempotencyCache, time: FakeTime) -> None:
    work = Work(SENT)
    once.run("k", LONG, work)

    time.advance(15 * 60 - 1)
    assert once.run("k", LONG, work).body["status"] == "duplicate"
    time.advance(1)
    assert once.run("k", LONG, work) == SENT


def test_partial_success_is_forgotten_after_fifteen_minutes(once: IdempotencyCache, time: FakeTime) -> None:
    def partly(done: CompletedActions) -> JsonResponse:
        assert not done
        done["mail"] = "outcome"
        return FAILED

    once.run("k", LONG, partly)
    time.advance(15 * 60)

    assert once.run("k", LONG, partly) == FAILED


def test_what_is_younger_outlives_what_expires(once: IdempotencyCache, time: FakeTime) -> None:
    once.run("old", LONG, Work(SENT))
    time.advance(10)
    once.run("young", LONG, Work(SENT))
    time.advance(15 * 60 - 10)

    assert once.run("old", LONG, Work(SENT)) == SENT
    assert once.run("young", LONG, Work(SENT)).body["status"] == "duplicate"


def test_ten_thousand_are_kept_and_the_oldest_goes_first(once: IdempotencyCache) -> None:
    for number in range(module.KEPT_ENTRIES):
        once.run(str(number), LONG, Work(SENT))

    assert module.KEPT_ENTRIES == 10_000
    assert once.run("0", LONG, Work(SENT)).body["status"] == "duplicate"  # though it is full, and this the oldest
    assert once.run("one more", LONG, Work(SENT)) == SENT
    assert len(once._entries) == 10_000
    assert once.run("1", LONG, Work(SENT)).body["status"] == "duplicate"
    assert once.run("0", LONG, Work(SENT)) == SENT


def test_failures_take_no_room(once: IdempotencyCache) -> None:
    once.run("k", LONG, Work(FAILED))

    assert not once._entries


class Slow:
    """Work that tells when it runs, and ends when it is let."""

    def __init__(self, answer: JsonResponse | Exception) -> None:
        self.answer, self.runs = answer, 0
        self.running, self.let = threading.Event(), threading.Event()

    def __call__(self, done: CompletedActions) -> JsonResponse:
        self.runs += 1
        self.running.set()
        assert self.let.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Waiting(Future[JsonResponse]):
    """Tells when somebody waits for it."""

    waits = threading.Semaphore(0)

    def result(self, timeout: float | None = None) -> JsonResponse:
        self.waits.release()
        return super().result(timeout)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released once for each that waits for another's answer."""
    monkeypatch.setattr(module, "Future", Waiting)
    monkeypatch.setattr(Waiting, "waits", threading.Semaphore(0))
    return Waiting.waits


@pytest.mark.parametrize("answer", [SENT, FAILED])
def test_same_again_while_the_first_runs_waits_for_its_answer(
    pool: ThreadPoolExecutor, once: IdempotencyCache, waits: threading.Semaphore, answer: JsonResponse
) -> None:
    work = Slow(answer)
    first = pool.submit(once.run, "k", LONG, work)
    assert work.running.wait(60)
    others = [pool.submit(once.run, "k", LONG, work) for _ in range(5)]
    for _ in others:
        assert waits.acquire(timeout=60)
    work.let.set()

    assert [future.result(60) for future in (first, *others)] == [answer] * 6
    assert work.runs == 1


def test_failure_of_a_forgotten_run_leaves_the_next_one_of_its_key_alone(
    pool: ThreadPoolExecutor, once: IdempotencyCache, waits: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ENTRIES", 1)
    forgotten, next_one = Slow(FAILED), Slow(SENT)
    runs = [pool.submit(once.run, "k", LONG, forgotten)]
    assert forgotten.running.wait(60)
    once.run("another", LONG, Work(SENT))
    runs.append(pool.submit(once.run, "k", LONG, next_one))
    assert next_one.running.wait(60)
    forgotten.let.set()
    assert runs[0].result(60) == FAILED

    third = pool.submit(once.run, "k", LONG, next_one)
    assert waits.acquire(timeout=60)
    next_one.let.set()
    assert (runs[1].result(60), third.result(60), next_one.runs) == (SENT, SENT, 1)


def test_who_waits_for_what_breaks_hears_of_it(
    pool: ThreadPoolExecutor, once: IdempotencyCache, waits: threading.Semaphore
) -> None:
    work = Slow(ValueError("broken"))
    first = pool.submit(once.run, "k", LONG, work)
    assert work.running.wait(60)
    second = pool.submit(once.run, "k", LONG, work)
    assert waits.acquire(timeout=60)
    work.let.set()

    for future in (first, second):
        with pytest.raises(ValueError, match="broken"):
            future.result(60)


@pytest.mark.parametrize("left", [0, -5])
def test_who_waits_past_the_own_deadline_hears_in_progress(
    pool: ThreadPoolExecutor, once: IdempotencyCache, time: FakeTime, left: float
) -> None:
    work = Slow(SENT)
    first = pool.submit(once.run, "k", LONG, work)
    assert work.running.wait(60)

    with pytest.raises(Unavailable) as caught:
        once.run("k", time.monotonic + left, work)
    work.let.set()

    assert (caught.value.code, caught.value.status) == ("in_progress", 503)
    assert first.result(60) == SENT
    assert once.run("k", LONG, work).body["status"] == "duplicate"


@pytest.mark.parametrize(("left", "wait"), [(5.5, 5.5), (-1, 0)])
def test_wait_is_as_long_as_the_deadline_leaves(
    once: IdempotencyCache, time: FakeTime, monkeypatch: pytest.MonkeyPatch, left: float, wait: float
) -> None:
    waited: list[float | None] = []

    class Never(Future[JsonResponse]):
        def result(self, timeout: float | None = None) -> JsonResponse:
            waited.append(timeout)
            raise TimeoutError

    monkeypatch.setattr(module, "Future", Never)

    def again(done: CompletedActions) -> JsonResponse:
        return once.run("k", time.monotonic + left, Work(SENT))

    with pytest.raises(Unavailable):
        once.run("k", LONG, again)
    assert waited == [wait]


def test_time_is_the_process_clock_by_default() -> None:
    assert IdempotencyCache()._clock == Clock()
