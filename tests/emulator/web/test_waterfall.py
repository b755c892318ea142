"""The layout of a run's steps: nesting, folded retries, and the time axis."""

import pytest

from emulator.runs.steps import Block, Step
from emulator.web.waterfall import Row, waterfall

BLOCKS = (Block("request", ""),)


def step(at: float, who: str, what: str, seconds: float = 0.0) -> Step:
    return Step(at, who, what, "ok", seconds, blocks=BLOCKS)


def failed(at: float, who: str, what: str, seconds: float) -> Step:
    return Step(at, who, what, "fail", seconds, "server error", BLOCKS)


def outline(rows: list[Row]) -> list[object]:
    return [[row.operation, outline(row.children)] if row.children else row.operation for row in rows]


def test_calls_nest_under_the_callout_that_made_them() -> None:
    steps = [
        step(0.0, "Event", "changed"),
        failed(0.1, "Callout", "POST → 503", 1.0),
        failed(0.2, "SendGrid", "send → 500", 0.1),
        step(1.5, "Callout", "POST, attempt 2 → 200", 1.0),
        step(1.6, "SendGrid", "send → 202", 0.1),
        step(2.6, "Function log", "INFO sent"),
        step(2.7, "Auth0", "action.js succeeded", 2.7),
    ]
    assert outline(waterfall(steps).rows) == [
        "changed",
        ["POST", ["send"]],
        ["POST, attempt 2", ["send", "INFO sent"]],
        "action.js succeeded",
    ]


def test_a_delivery_nests_under_its_attempt_and_not_under_the_callout() -> None:
    steps = [
        step(0.0, "Callout", "POST → 202", 0.5),
        step(0.1, "Cloud Tasks", "create a task → 200", 0.1),
        Step(0.3, "Cloud Tasks", "attempt 1 → 502, retry in 10 s", "fail", 1.0),
        step(0.31, "Deliver", "POST → 200", 0.9),
        step(0.7, "SendGrid", "send → 202", 0.1),
    ]
    rows = waterfall(steps).rows
    assert outline(rows) == [["POST", ["create a task"]], ["attempt 1", [["POST", ["send"]]]]]
    assert (rows[1].results, rows[1].note) == ([("502", "fail", 1)], "retry in 10 s")


def test_failed_attempts_are_folded_into_the_one_that_succeeded() -> None:
    steps = [
        step(0.0, "Callout", "POST → 200", 2.0),
        failed(0.1, "SendGrid", "send → 500 internal error", 0.1),
        failed(0.5, "SendGrid", "send → 500 internal error", 0.1),
        step(1.0, "SendGrid", "send → 202", 0.2),
        Step(1.1, "Inbox", "email", mail=7),
    ]
    (callout,) = waterfall(steps).rows
    (call,) = callout.children
    assert call.results == [("500", "fail", 2), ("202", "ok", 1)]
    assert (call.state, call.faults, call.mail) == ("warn", ["server error"], 7)
    assert call.seconds == pytest.approx(1.1)


def test_two_successful_calls_are_not_folded() -> None:
    steps = [step(at, "Secret Manager", "read key, version latest → 200", 0.1) for at in (0.0, 0.2)]
    assert outline(waterfall(steps).rows) == ["read key", "read key"]


@pytest.mark.parametrize(("seconds", "ticks"), [(0.152, [0.0, 0.1]), (2.4, [0.0, 2.0]), (31.0, [0.0, 20.0])])
def test_the_axis_has_round_marks(seconds: float, ticks: list[float]) -> None:
    found = waterfall([step(5.0, "Callout", "POST → 200", seconds)]).ticks()
    assert [at for _, at in found] == pytest.approx(ticks)
    assert all(0 <= left <= 100 for left, _ in found)


def test_a_bar_is_visible_and_stays_on_the_axis() -> None:
    chart = waterfall([step(0.0, "Callout", "POST → 200", 10.0), step(10.0, "SendGrid", "send → 202", 0.0001)])
    for row in chart.rows:
        for bar in chart.bars(row):
            assert bar.width > 0.5
            assert bar.left + bar.width <= 100


def test_a_run_without_steps_has_an_empty_axis() -> None:
    assert waterfall([]).rows == []
