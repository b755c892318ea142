"""Validate an event against Auth0's schema: report each problem with its line and how to fix it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from emulator.auth0 import json_positions

SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("event.schema.json").read_text("utf-8"))
_VALIDATOR = Draft202012Validator(SCHEMA)
_TRAILING_COMMA = re.compile(r",\s*[\]}]")

TYPE_NAMES = {str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list"}
TYPES = {"string": str, "boolean": bool, "number": float, "integer": int, "object": dict, "array": list}
# Fields that only other Auth0 triggers have.
FOREIGN_FIELDS = (
    "name",
    "nickname",
    "given_name",
    "family_name",
    "picture",
    "user_metadata",
    "app_metadata",
    "identities",
)


@dataclass(frozen=True)
class SchemaFinding:
    """A problem in an event: an `error` is something that Auth0 never sends. `line` starts at 1."""

    line: int
    path: str
    message: str
    hint: str = ""
    kind: Literal["error", "hint"] = "error"


def findings(text: str) -> list[SchemaFinding]:
    """Return all findings, sorted by line."""
    try:
        event = json.loads(text, parse_constant=_reject_constant)
        at = json_positions.lines(text)
        results = [*(_violation(error, at) for error in _VALIDATOR.iter_errors(event)), *_unknown_fields(event, at)]
    except json.JSONDecodeError as error:
        return [_syntax_error(error)]
    except ValueError as error:
        return [SchemaFinding(1, "", f"not JSON: {error}")]
    except RecursionError:
        return [SchemaFinding(1, "", "nested too deeply")]
    return sorted(results, key=lambda finding: (finding.line, finding.path))


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} isn't a JSON number")


def _syntax_error(error: json.JSONDecodeError) -> SchemaFinding:
    hint = ""
    before = len(error.doc[: error.pos].rstrip()) - 1
    for at in (error.pos, before):  # Python 3.13 reports a trailing comma itself, earlier versions what follows it
        if _TRAILING_COMMA.match(error.doc, at):
            error, hint = json.JSONDecodeError("trailing comma", error.doc, at), "Remove it."
    if error.msg.startswith("Expecting ',' delimiter"):
        hint = "Add a comma before this position."
    elif error.doc[error.pos : error.pos + 1] == "'":
        hint = "JSON requires double quotes."
    return SchemaFinding(error.lineno, "", f"not JSON: {error.msg}, at column {error.colno}", hint)


def _violation(error: ValidationError, at: Mapping[json_positions.Path, int]) -> SchemaFinding:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        where = _dotted((*path, missing))
        return SchemaFinding(at[path], where, "missing", _missing_hint(missing, at, path))
    if error.validator == "type":
        expected, value = TYPES[str(error.validator_value)], error.instance
        message = f"expected {TYPE_NAMES[expected]}, got {_type_name(value)}"
        return SchemaFinding(at[path], _dotted(path), message, _type_hint(expected, value))
    return SchemaFinding(at[path], _dotted(path), error.message, "Value out of range.")


def _missing_hint(name: str, at: Mapping[json_positions.Path, int], owner: json_positions.Path) -> str:
    close = get_close_matches(name, [str(path[-1]) for path in at if path[:-1] == owner and path], n=1)
    return f"Did you misspell it as {close[0]}?" if close else "Auth0 always sends this field."


def _type_hint(expected: type, value: Any) -> str:
    if value is None:
        return "Auth0 omits unknown values instead of sending null."
    if expected is str and isinstance(value, int | float):
        return f'Add quotes: "{json.dumps(value)}".'
    if expected is bool and str(value).lower() in ("true", "false"):
        return f"Remove the quotes: {str(value).lower()}."
    return ""


def _type_name(value: Any) -> str:
    return "null" if value is None else TYPE_NAMES[type(value)]


def _unknown_fields(event: Any, at: Mapping[json_positions.Path, int]) -> Iterator[SchemaFinding]:
    """Yield a hint for each field that isn't in Auth0's reference, which is allowed but often a mistake."""
    for path, value, known in _objects(event, SCHEMA, ()):
        for name in value:
            if name not in known:
                yield _unknown_field((*path, name), known, at)


def _unknown_field(
    path: json_positions.Path, known: Mapping[str, Any], at: Mapping[json_positions.Path, int]
) -> SchemaFinding:
    name = str(path[-1])
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"Did you mean {close[0]}?" if close else ""
    if path == ("user", name) and name in FOREIGN_FIELDS:
        hint = "In this trigger, the user has no name and no metadata; don't rely on this field."
    return SchemaFinding(at.get(path, 1), _dotted(path), "not in Auth0's reference", hint, "hint")


def _objects(
    value: Any, schema: Mapping[str, Any], path: json_positions.Path
) -> Iterator[tuple[json_positions.Path, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each object for which the schema defines fields, with its path and these fields."""
    known = schema.get("properties", {})
    if not isinstance(value, dict) or not known:
        return
    yield path, value, known
    for name, field in value.items():
        yield from _objects(field, known.get(name, {}), (*path, name))


def _dotted(path: json_positions.Path) -> str:
    return ".".join(str(part) for part in ("event", *path))
