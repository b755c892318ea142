"""The validation of events in the test panel."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.auth0 import json_positions
from emulator.auth0.event_schema import findings
from emulator.auth0.samples import DEFAULT, examples

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.integers(0, 3))
def test_every_field_of_any_json_has_its_line(value: object, indent: int) -> None:
    text = json.dumps(value, indent=indent or None, ensure_ascii=False)
    lines = text.split("\n")
    for path, line in json_positions.lines(text).items():
        if path and isinstance(path[-1], str):
            assert json.dumps(path[-1], ensure_ascii=False) in lines[line - 1]
    assert set(json_positions.lines(text)) == set(paths(value))


def paths(value: object, at: json_positions.Path = ()) -> list[json_positions.Path]:
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for name, field in fields for path in paths(field, (*at, name)))]


@given(st.text() | VALUES.map(json.dumps))
def test_any_text_can_be_validated(text: str) -> None:
    assert all(finding.line >= 1 for finding in findings(text))


def test_auth0s_own_sample_has_no_finding() -> None:
    text = next(example.text for example in examples() if example.name == DEFAULT)
    assert findings(text) == []


@pytest.mark.parametrize("name", [example.name for example in examples()])
def test_the_included_examples_have_no_errors(name: str) -> None:
    text = next(example.text for example in examples() if example.name == name)
    assert [finding for finding in findings(text) if finding.kind == "error"] == []


@pytest.mark.parametrize(
    ("event", "path", "message", "hint"),
    [
        ({"user": {"email": 3}}, "event.user.email", "expected text, got a number", 'Add quotes: "3".'),
        (
            {"user": {"email_verified": "true"}},
            "event.user.email_verified",
            "expected true",
            "Remove the quotes: true.",
        ),
        ({"request": {"ip": None}}, "event.request.ip", "expected text, got null", "instead of sending null"),
        ({"request": {"geoip": {"latitude": 91}}}, "event.request.geoip.latitude", "91 is greater", "out of range"),
        ({"user": {"name": "Ada"}}, "event.user.name", "not in Auth0's reference", "don't rely on this field"),
        ({"user": {"emial": "a@b.c"}}, "event.user.emial", "not in Auth0's reference", "Did you mean email?"),
        ({"tenat": {}}, "event.tenant", "missing", "Did you misspell it as tenat?"),
    ],
)
def test_a_problem_is_reported_with_its_path_and_a_hint(
    event: dict[str, object], path: str, message: str, hint: str
) -> None:
    found = [finding for finding in findings(json.dumps(event)) if finding.path == path]
    assert [message in finding.message and hint in finding.hint for finding in found] == [True]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('{\n"user": {},\n}', 2, "not JSON: trailing comma, at column 11", "Remove it."),
        ('{"user":\n["a",\n]}', 2, "not JSON: trailing comma, at column 5", "Remove it."),
        ('{\n"user": {}\n"tenant": {}}', 3, "not JSON: Expecting ',' delimiter", "Add a comma"),
        ("{\n'user': {}}", 2, "not JSON: Expecting property name", "double quotes"),
        ("{\n\"user\": {},\n'tenant': {}}", 3, "not JSON: Expecting property name", "double quotes"),
        ('{"latitude": NaN}', 1, "not JSON: NaN isn't a JSON number", ""),
        ("[" * 100_000, 1, "nested too deeply", ""),
        ("[" * 900 + "]" * 900, 1, "nested too deeply", ""),
    ],
)
def test_invalid_json_is_reported_with_its_line(text: str, line: int, message: str, hint: str) -> None:
    [found] = findings(text)
    assert found.line == line
    assert found.message.startswith(message)
    assert hint in found.hint
