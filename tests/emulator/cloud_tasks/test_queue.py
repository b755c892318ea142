import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cloud_tasks.dispatcher import QueueClock, retry_after
from emulator.cloud_tasks.queue import TASK_NAME_RESERVED_SECONDS, TaskQueue
from emulator.cloud_tasks.queue_config import (
    RETENTION_SECONDS,
    RateLimits,
    RetryConfig,
    format_duration,
    parse_duration,
)
from emulator.cloud_tasks.task import AttemptResponse, Task
from emulator.core.google_api import ApiError

NAME = "projects/p/locations/l/queues/q"
OK, BUSY, BROKEN = AttemptResponse(200), AttemptResponse(503), AttemptResponse(500)

retries = st.builds(
    RetryConfig,
    min_backoff=st.floats(0.1, 100),
    max_backoff=st.floats(100, 5000),
    max_doublings=st.integers(0, 2000),
)
failures = st.integers(1, 10_000)


def task(name: str = "t", scheduled: float = 0.0) -> Task:
    """Return a task created at time 0."""
    return Task(NAME, f"{NAME}/tasks/{name}", "http://a", "POST", {}, b"", None, 0.0, scheduled, 600.0)


def queue(tasks: int = 1, rate: RateLimits | None = None) -> TaskQueue:
    created = TaskQueue(NAME, RetryConfig(max_attempts=-1), rate or RateLimits())
    for number in range(tasks):
        created.add(task(f"t{number}"), 0.0)
    return created


def send(queue: TaskQueue, now: float) -> Task:
    """Take the due task and start its attempt."""
    task = queue.take(now)
    assert task is not None
    task.begin(now)
    return task


def test_backoff_follows_the_documented_example() -> None:
    retry = RetryConfig(min_backoff=10, max_backoff=300, max_doublings=3)
    assert [retry.backoff(failure) for failure in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]


def test_backoff_doubles_from_ten_seconds_to_an_hour() -> None:
    retry = RetryConfig(min_backoff=10, max_backoff=3600)
    assert [retry.backoff(failure) for failure in (1, 2, 9, 10, 10_000)] == [10, 20, 2560, 3600, 3600]


@given(retries, failures)
def test_backoff_stays_within_its_limits_and_never_decreases(retry: RetryConfig, failure: int) -> None:
    assert retry.min_backoff <= retry.backoff(failure) <= retry.backoff(failure + 1) <= retry.max_backoff


@given(st.floats(0.1, 100), st.integers(0, 8), st.integers(1, 40))
def test_backoff_doubles_and_then_grows_linearly(min_backoff: float, doublings: int, failure: int) -> None:
    retry = RetryConfig(min_backoff=min_backoff, max_backoff=1e9, max_doublings=doublings)
    growth = retry.backoff(failure + 1) - retry.backoff(failure)
    assert growth == pytest.approx(min_backoff * 2.0 ** min(failure - 1, doublings))


@pytest.mark.parametrize(
    ("retry", "attempts", "elapsed", "is_exhausted"),
    [
        (RetryConfig(max_attempts=-1), 10_000, 1e9, False),
        (RetryConfig(max_attempts=3), 2, 1e9, False),
        (RetryConfig(max_attempts=3), 3, 0, True),
        (RetryConfig(max_attempts=-1, max_duration=60), 1, 60, True),
        (RetryConfig(max_attempts=3, max_duration=60), 3, 59, False),
        (RetryConfig(max_attempts=3, max_duration=60), 2, 60, False),
        (RetryConfig(max_attempts=3, max_duration=60), 3, 60, True),
    ],
)
def test_retries_are_exhausted_when_every_limit_that_is_set_is_reached(
    retry: RetryConfig, attempts: int, elapsed: float, is_exhausted: bool
) -> None:
    assert retry.is_exhausted(attempts, elapsed) is is_exhausted


@given(st.integers(0, 10**9))
def test_a_duration_round_trips(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000), "d") == pytest.approx(milliseconds / 1000)


@given(st.text())
def test_any_retry_after_is_a_number_of_seconds(value: str) -> None:
    assert 0 <= retry_after(value) <= RETENTION_SECONDS


def test_retry_after_can_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3000 < retry_after(later) <= 3600
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@given(st.floats(0.5, 500), st.lists(st.floats(0, 5), max_size=30))
def test_a_queue_dispatches_no_faster_than_its_rate(per_second: float, steps: list[float]) -> None:
    rate, now, sent = RateLimits(per_second, 5000), 0.0, 0
    many = queue(400, rate=rate)
    for step in [0.0, *steps]:
        now += step
        while many.take(now):
            sent += 1
        assert sent <= rate.burst + rate.per_second * now + 1e-6


@given(st.integers(1, 20), st.lists(st.booleans(), max_size=60))
def test_a_queue_has_no_more_tasks_in_flight_than_its_limit(concurrent: int, moves: list[bool]) -> None:
    many, running = queue(60, rate=RateLimits(concurrent=concurrent)), []
    for take in moves:
        if take and (taken := many.take(0.0)):
            running.append(taken)
        elif running:
            many.finish(running.pop(), 0.0, OK, 0.0)
        assert many.in_flight == len(running) <= concurrent


@given(st.lists(st.sampled_from([OK, BUSY, BROKEN, AttemptResponse(0)]), min_size=1, max_size=40))
def test_a_task_is_sent_until_its_first_success_and_never_early(responses: list[AttemptResponse]) -> None:
    one, now = queue(), 0.0
    for attempt, response in enumerate(responses, 1):
        due = one.next_time(now)
        assert due < math.inf
        assert one.take(math.nextafter(due, -math.inf)) is None or due <= now
        now = max(due, now) + 1e-6
        sent = send(one, now)
        result = one.finish(sent, now, response, now)
        if response.ok:
            assert result.ended == "delivered"
            break
        assert result.wait == one.retry.backoff(attempt)
    assert bool(one.tasks) is not any(response.ok for response in responses)


def test_a_task_name_can_be_reused_an_hour_after_the_task_is_gone() -> None:
    one = queue()
    one.finish(send(one, 0.0), 0.0, OK, 10.0)
    with pytest.raises(ApiError, match="existed too recently"):
        one.add(task("t0"), 10.0 + TASK_NAME_RESERVED_SECONDS - 1)
    one.add(task("t0"), 10.0 + TASK_NAME_RESERVED_SECONDS)


def test_a_task_is_dropped_after_31_days() -> None:
    one = queue()
    assert one.finish(send(one, 1.0), 1.0, BROKEN, RETENTION_SECONDS - 1).wait
    one.run_now(one.get(f"{NAME}/tasks/t0"), RETENTION_SECONDS)
    assert one.finish(send(one, RETENTION_SECONDS), RETENTION_SECONDS, BROKEN, RETENTION_SECONDS).ended == "dropped"


def test_busy_responses_slow_the_whole_queue_to_one_task_at_a_time() -> None:
    many = queue(10)
    many.finish(send(many, 0.0), 0.0, BUSY, 0.0)
    assert (many.take(0.5), many.next_time(0.5)) == (None, 1.0)
    probe = send(many, 1.0)
    assert many.next_time(1.0) == math.inf
    many.finish(probe, 1.0, BUSY, 2.0)
    assert many.next_time(2.0) == 4.0


def test_backpressure_doubles_up_to_a_minute_and_a_success_resets_it() -> None:
    many, now, seen = queue(10), 0.0, []
    for _ in range(8):
        many.finish(send(many, now), now, AttemptResponse(429), now)
        seen.append(many.backpressure)
        now = many.next_time(now)
    assert seen == [1, 2, 4, 8, 16, 32, 60, 60]
    many.finish(send(many, now), now, OK, now)
    assert (many.backpressure, many.take(now) is None) == (0, False)


def test_busy_responses_to_concurrent_tasks_count_once() -> None:
    many = queue(80)
    sent = [send(many, 0.0) for _ in range(80)]
    for one in sent:
        many.finish(one, 0.0, BUSY, 0.1)
    assert many.backpressure == 1


def test_retry_after_delays_the_whole_queue() -> None:
    many = queue(2)
    many.finish(send(many, 0.0), 0.0, AttemptResponse(503, retry_after=90), 0.0)
    assert many.next_time(0.0) == 90


def test_other_failures_do_not_slow_the_queue() -> None:
    many = queue(2)
    many.finish(send(many, 0.0), 0.0, BROKEN, 0.0)
    assert many.take(0.0) is not None


def test_one_success_of_two_concurrent_attempts_is_enough() -> None:
    one = queue()
    twice = send(one, 0.0)
    one.start(twice)
    assert one.finish(twice, 0.0, OK, 0.0).ended == "delivered"
    assert one.finish(twice, 0.0, BROKEN, 0.0).wait is None
    assert (one.tasks, one.in_flight) == ({}, 0)


def test_the_last_failure_of_two_concurrent_attempts_schedules_the_retry() -> None:
    one = queue()
    twice = send(one, 0.0)
    one.start(twice)
    assert one.finish(twice, 0.0, BROKEN, 0.0).wait is None
    assert one.finish(twice, 0.0, BROKEN, 0.0).wait == one.retry.backoff(1)


def test_the_task_that_is_due_first_is_sent_first() -> None:
    two = queue(0)
    two.add(task("late", 50.0), 0.0)
    two.add(task("soon", 5.0), 0.0)
    assert (two.take(4.9), two.next_time(4.9)) == (None, 5.0)
    assert send(two, 5.0).short_name == "soon"


def test_the_clock_does_not_jump_when_its_speed_changes() -> None:
    clock = QueueClock(1_000_000)
    previous = clock.now()
    clock.speed = 1
    assert previous <= clock.now()
    assert clock.to_real(10) == 10
