"""Check the types in a JSON value against a shape, with the messages of SendGrid's validator (gojsonschema).

A shape is the name of a JSON type, `[shape]` for an array, `{field: shape}` for an object (other fields are accepted),
or `Strings()` for an object of strings. No field is required, and null is a type like any other: public reports show
`Invalid type. Expected: object, given: null.`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TypeViolation = tuple[str, str]  # path such as `content.0.value`, message


@dataclass(frozen=True)
class Strings:
    """An object of strings; if `opaque`, SendGrid fails to decode other values and doesn't report the field."""

    opaque: bool = False


Shape = str | Strings | list[Any] | dict[str, Any]


class UndecodableError(Exception):
    """A value that SendGrid rejects with a bare `Bad Request`."""


def wrong_types(value: Any, shape: Shape, path: str = "") -> Iterator[TypeViolation]:
    """Yield each value of the wrong type. Raise UndecodableError if SendGrid can't decode the body."""
    expected, given = _expected(shape), type_name(value)
    if given != expected:
        yield path or "(root)", f"Invalid type. Expected: {expected}, given: {given}."
    elif isinstance(shape, Strings):
        yield from _strings(value, shape, path)
    elif isinstance(shape, list):
        for index, item in enumerate(value):
            yield from wrong_types(item, shape[0], _join(path, index))
    elif isinstance(shape, dict):
        for name, field in shape.items():
            if name in value:
                yield from wrong_types(value[name], field, _join(path, name))


def well_typed(value: Any, shape: Shape) -> Any:
    """Return `value` without values of the wrong type; in arrays, None replaces them."""
    if type_name(value) != _expected(shape):
        return None
    if isinstance(shape, Strings):
        return {name: text for name, text in value.items() if isinstance(text, str)}
    if isinstance(shape, list):
        return [well_typed(item, shape[0]) for item in value]
    if isinstance(shape, dict):
        fields = {name: well_typed(value[name], field) for name, field in shape.items() if name in value}
        return {name: field for name, field in fields.items() if field is not None}
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


def _strings(value: dict[str, Any], shape: Strings, path: str) -> Iterator[TypeViolation]:
    for name, text in value.items():
        if not isinstance(text, str):
            if shape.opaque:
                raise UndecodableError
            yield _join(path, name), f"Invalid type. Expected: string, given: {type_name(text)}."


def _join(path: str, step: str | int) -> str:
    return f"{path}.{step}" if path else str(step)
