"""An event as a person types it, held to the schema: what is wrong, on which line, and what to do about it."""

import json
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

WORDS = {str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list"}
TYPES = {"string": str, "boolean": bool, "number": float, "integer": int, "object": dict, "array": list}
# What people look for in vain: other triggers of Auth0 have it.
ELSEWHERE = ("name", "nickname", "given_name", "family_name", "picture", "user_metadata", "app_metadata", "identities")


@dataclass(frozen=True)
class SchemaFinding:
    """`error` keeps the event from being what Auth0 sends; `hint` is only worth knowing. `line` is from 1."""

    line: int
    path: str
    message: str
    hint: str = ""
    kind: Literal["error", "hint"] = "error"


def findings(text: str) -> list[SchemaFinding]:
    """In the order of the lines."""
    try:
        event = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return [SchemaFinding(error.lineno, "", f"not JSON: {error.msg}, at column {error.colno}", _syntax_hint(error))]
    except ValueError as error:
        return [SchemaFinding(1, "", f"not JSON: {error}")]
    except RecursionError:
        return [SchemaFinding(1, "", "not usable: nested too deep")]
    at = json_positions.lines(text)
    found = [*(_violation(error, at) for error in _VALIDATOR.iter_errors(event)), *_surprises(event, at)]
    return sorted(found, key=lambda finding: (finding.line, finding.path))


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _syntax_hint(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    if before.endswith(",") or error.msg.startswith("Illegal trailing comma"):
        return "Is there a comma too many before this place?"
    if error.msg.startswith("Expecting ',' delimiter"):
        return "A comma is missing between this and what stands before it."
    if error.doc[error.pos : error.pos + 1] == "'":
        return "JSON wants double quotes."
    return ""


def _violation(error: ValidationError, at: Mapping[json_positions.Path, int]) -> SchemaFinding:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        where = _dotted((*path, missing))
        return SchemaFinding(at[path], where, "missing", _missing_hint(missing, at, path))
    if error.validator == "type":
        wanted, found = TYPES[str(error.validator_value)], error.instance
        message = f"expected {WORDS[wanted]}, got {_word(found)}"
        return SchemaFinding(at[path], _dotted(path), message, _type_hint(wanted, found))
    return SchemaFinding(at[path], _dotted(path), error.message, "Such a place does not exist on earth.")


def _missing_hint(name: str, at: Mapping[json_positions.Path, int], owner: json_positions.Path) -> str:
    close = get_close_matches(name, [str(path[-1]) for path in at if path[:-1] == owner and path], n=1)
    return f"Is {close[0]} a misspelling?" if close else "Auth0 always sends it."


def _type_hint(wanted: type, found: Any) -> str:
    if found is None:
        return "Auth0 leaves out what it does not know; it sends no null."
    if wanted is str and isinstance(found, int | float):
        return f'Put it in quotes: "{json.dumps(found)}".'
    if wanted is bool and str(found).lower() in ("true", "false"):
        return f"Without quotes: {str(found).lower()}."
    return ""


def _word(value: Any) -> str:
    return "null" if value is None else WORDS[type(value)]


def _surprises(event: Any, at: Mapping[json_positions.Path, int]) -> Iterator[SchemaFinding]:
    """Members that Auth0's reference does not name: legal, and often a slip."""
    for path, value, known in _objects(event, SCHEMA, ()):
        for name in value:
            if name not in known:
                yield _surprise((*path, name), known, at)


def _surprise(
    path: json_positions.Path, known: Mapping[str, Any], at: Mapping[json_positions.Path, int]
) -> SchemaFinding:
    name = str(path[-1])
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"Did you mean {close[0]}?" if close else ""
    if path == ("user", name) and name in ELSEWHERE:
        hint = "This trigger's user has no name and no metadata; do not rely on it."
    return SchemaFinding(at.get(path, 1), _dotted(path), "not in Auth0's reference", hint, "hint")


def _objects(
    value: Any, schema: Mapping[str, Any], path: json_positions.Path
) -> Iterator[tuple[json_positions.Path, Mapping[str, Any], Mapping[str, Any]]]:
    """Each object whose members the schema names, with them."""
    known = schema.get("properties", {})
    if not isinstance(value, dict) or not known:
        return
    yield path, value, known
    for name, member in value.items():
        yield from _objects(member, known.get(name, {}), (*path, name))


def _dotted(path: json_positions.Path) -> str:
    return ".".join(str(part) for part in ("event", *path))
