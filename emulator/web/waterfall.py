"""Lay out a run's steps as a waterfall: calls nested under their callout, retries collapsed, bars on a time axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from emulator.runs.steps import State, Step

# The steps that others nest under, by who makes them.
PARENTS: dict[str, tuple[str, ...]] = {
    "Function": ("Callout",),
    "Function log": ("Callout", "Function"),
    "Function console": ("Callout", "Function"),
    "Deliver": ("Attempt",),
    "Deliver log": ("Deliver",),
    "Deliver console": ("Deliver",),
    "Secret Manager": ("Deliver", "Callout", "Function"),
    "SendGrid": ("Deliver", "Callout", "Function"),
    "Cloud Tasks": ("Callout", "Function"),
}
LATE = (" log", " console")  # their lines are read after the response has been sent
MIN_WIDTH = 0.7  # percent, so that the shortest call is visible
MAX_TICKS = 2


@dataclass(frozen=True)
class Bar:
    """Where a step is on the axis, in percent; without a `width`, it has no duration."""

    left: float
    width: float
    state: State


@dataclass
class Row:
    """A step, or the attempts of one that was retried, with the steps nested under it."""

    steps: list[Step]
    children: list["Row"] = field(default_factory=list)
    mail: int = 0

    @property
    def step(self) -> Step:
        return self.steps[-1]

    @property
    def state(self) -> State:
        """Return the state of the last step, or `warn` if an earlier one failed."""
        return "warn" if self.step.state == "ok" and any(s.state == "fail" for s in self.steps) else self.step.state

    @property
    def operation(self) -> str:
        """Return what the step does, without its result; the page shows a run's error elsewhere."""
        what = _operation(self.step).replace(", version latest", "")
        return what.partition(": ")[0] if self.step.who == "Auth0" else what

    @property
    def results(self) -> list[tuple[str, State, int]]:
        """Return the results in order, equal neighbors combined, each with its state and count."""
        results = [(_result(step), step.state) for step in self.steps if _result(step)]
        return [(*result, len(list(group))) for result, group in groupby(results)]

    @property
    def note(self) -> str:
        """Return when Cloud Tasks retries the attempt, if at all."""
        return self.step.what.partition(" → ")[2].partition(", ")[2] if _kind(self.step) == "Attempt" else ""

    @property
    def faults(self) -> list[str]:
        return list(dict.fromkeys(step.fault for step in self.steps if step.fault))

    @property
    def is_log(self) -> bool:
        return self.step.who.endswith(LATE) or self.step.who == "Console"

    @property
    def seconds(self) -> float:
        """Return the time from the start of the first step to the end of the last."""
        return _end(self.step) - self.steps[0].at if self.has_duration else 0.0

    @property
    def has_duration(self) -> bool:
        return bool(self.step.seconds) and self.step.who != "Auth0"


@dataclass(frozen=True)
class Waterfall:
    """The rows of a run on an axis from its first step to the end of its last."""

    rows: list[Row]
    started: float
    seconds: float

    def ticks(self) -> list[tuple[float, float]]:
        """Return position in percent and time in seconds of each mark on the axis."""
        interval = _interval(self.seconds)
        count = int(self.seconds / interval) + 1
        return [(round(100 * index * interval / self.seconds, 2), index * interval) for index in range(count)]

    def bars(self, row: Row) -> list[Bar]:
        return [self._bar(step) for step in row.steps]

    def _bar(self, step: Step) -> Bar:
        width = max(step.seconds / self.seconds * 100, MIN_WIDTH) if step.seconds and step.who != "Auth0" else 0.0
        left = (step.at - self.started) / self.seconds * 100
        return Bar(round(min(max(left, 0.0), 100 - max(width, MIN_WIDTH)), 2), round(min(width, 100.0), 2), step.state)


def waterfall(steps: Sequence[Step]) -> Waterfall:
    """Lay out the steps of a run, which are sorted by time."""
    started = min((step.at for step in steps), default=0.0)
    ended = max((_end(step) for step in steps if step.who != "Auth0"), default=started)
    return Waterfall(_fold(_nest(steps)), started, max(ended - started, 0.001))


def _nest(steps: Sequence[Step]) -> list[Row]:
    top: list[Row] = []
    owners: list[Row] = []
    for step in steps:
        if step.mail and (call := _last_call(owners, step)):
            call.mail = step.mail
            continue
        row = Row([step], mail=step.mail)
        owner = _owner(owners, step)
        (owner.children if owner else top).append(row)
        owners.append(row)
    return top


def _last_call(rows: Sequence[Row], email: Step) -> Row | None:
    """Return the request to SendGrid that the email was in, which is the last one that started before it."""
    return next((row for row in reversed(rows) if row.step.who == "SendGrid" and row.step.at <= email.at), None)


def _owner(rows: Sequence[Row], step: Step) -> Row | None:
    """Return the row that the step nests under: the last one of the right kind that hadn't ended yet."""
    kinds = PARENTS.get(_kind(step), ())
    candidates = [row for row in reversed(rows) if _kind(row.step) in kinds]
    if step.who.endswith(LATE):
        return candidates[0] if candidates else None
    return next((row for row in candidates if step.at <= _end(row.step)), None)


def _kind(step: Step) -> str:
    """Return who made the step; an attempt of Cloud Tasks isn't a request to Cloud Tasks."""
    is_request = step.who != "Cloud Tasks" or bool(step.blocks)
    return step.who if is_request else "Attempt" if step.what.startswith("attempt") else "Task"


def _fold(rows: Sequence[Row]) -> list[Row]:
    """Combine each row that failed, or had a fault injected, with an equal one that follows it."""
    folded: list[Row] = []
    for row in rows:
        row.children = _fold(row.children)
        previous = folded[-1] if folded else None
        if previous and _is_retry(previous, row):
            folded[-1] = Row([*previous.steps, *row.steps], mail=row.mail or previous.mail)
        else:
            folded.append(row)
    return folded


def _is_retry(previous: Row, row: Row) -> bool:
    is_same = (previous.step.who, _operation(previous.step)) == (row.step.who, _operation(row.step))
    needed = previous.step.state == "fail" or previous.step.fault
    return is_same and bool(needed) and not row.is_log and not previous.children and not row.children


def flat(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield all rows, each before those nested under it."""
    for row in rows:
        yield row
        yield from flat(row.children)


def _operation(step: Step) -> str:
    return step.what.partition(" → ")[0]


def _result(step: Step) -> str:
    """Return the response's status; the reason is in the response, which the row expands to."""
    result = step.what.partition(" → ")[2].partition(", ")[0]
    return result.split()[0] if result[:3].isdecimal() else result


def _end(step: Step) -> float:
    return step.at + step.seconds


def _interval(seconds: float) -> float:
    """Return the time between two marks: 1, 2, or 5 times a power of ten."""
    power = 0.0001
    while True:
        for factor in (1, 2, 5):
            if seconds / (power * factor) <= MAX_TICKS:
                return power * factor
        power *= 10
