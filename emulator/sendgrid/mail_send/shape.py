"""Types of a JSON value, checked against a shape, with the messages that SendGrid's validator (gojsonschema) gives.

A shape is a JSON type's name, `[shape]` for an array, `{member: shape}` for an object (members not named pass), or
`Strings()` for an object of strings. No member is required here, and null is a type like any other: `Invalid type.
Expected: object, given: null.` is what public reports show.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Wrong = tuple[str, str]  # path such as `content.0.value`, message


@dataclass(frozen=True)
class Strings:
    """An object whose values are strings. `opaque`: SendGrid's decoder fails on others, without saying where."""

    opaque: bool = False


Shape = str | Strings | list[Any] | dict[str, Any]


class UndecodableError(Exception):
    """A value that SendGrid refuses with a bare `Bad Request`."""


def wrong_types(value: Any, shape: Shape, path: str = "") -> Iterator[Wrong]:
    """Each value of the wrong type. Raises UndecodableError."""
    expected, given = _expected(shape), type_name(value)
    if given != expected:
        yield path or "(root)", f"Invalid type. Expected: {expected}, given: {given}."
    elif isinstance(shape, Strings):
        yield from _strings(value, shape, path)
    elif isinstance(shape, list):
        for index, item in enumerate(value):
            yield from wrong_types(item, shape[0], _join(path, index))
    elif isinstance(shape, dict):
        for name, member in shape.items():
            if name in value:
                yield from wrong_types(value[name], member, _join(path, name))


def well_typed(value: Any, shape: Shape) -> Any:
    """`value` without what has the wrong type; in arrays None keeps its place."""
    if type_name(value) != _expected(shape):
        return None
    if isinstance(shape, Strings):
        return {name: text for name, text in value.items() if isinstance(text, str)}
    if isinstance(shape, list):
        return [well_typed(item, shape[0]) for item in value]
    if isinstance(shape, dict):
        members = {name: well_typed(value[name], member) for name, member in shape.items() if name in value}
        return {name: member for name, member in members.items() if member is not None}
    return value


_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def type_name(value: Any) -> str:
    return _TYPE_NAMES[type(value)]


def _expected(shape: Shape) -> str:
    if isinstance(shape, str):
        return shape
    return "array" if isinstance(shape, list) else "object"


def _strings(value: dict[str, Any], shape: Strings, path: str) -> Iterator[Wrong]:
    for name, text in value.items():
        if not isinstance(text, str):
            if shape.opaque:
                raise UndecodableError
            yield _join(path, name), f"Invalid type. Expected: string, given: {type_name(text)}."


def _join(path: str, step: str | int) -> str:
    return f"{path}.{step}" if path else str(step)
