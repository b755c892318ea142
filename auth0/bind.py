"""Bind the Action to the trigger: read the bindings, append the Action, and write them back in the same order.

    AUTH0_DOMAIN=… AUTH0_TOKEN=… python3 auth0/bind.py [--remove]

Or, signed in with the auth0 CLI:

    B=actions/triggers/post-change-password/bindings
    auth0 api get $B | python3 auth0/bind.py --filter | auth0 api patch $B

Set AUTH0_ACTION if the Action's name isn't password-notice. Uses only the standard library.
"""

import json
import os
import ssl
import sys
from http.client import HTTPException, HTTPSConnection
from typing import Any

PATH = "/api/v2/actions/triggers/post-change-password/bindings"
TIMEOUT_SECONDS = 30
Binding = dict[str, Any]


class BindError(Exception):
    """The Management API returned an error or no usable response, or the bindings it stored aren't as expected."""


def add(bindings: list[Binding], name: str) -> list[Binding]:
    """Return the bindings to write, with the Action `name` appended unless it is already bound."""
    existing = [_to_reference(binding) for binding in bindings]
    if any(binding["action"]["name"] == name for binding in bindings):
        return existing
    return [*existing, {"ref": {"type": "action_name", "value": name}, "display_name": name}]


def remove(bindings: list[Binding], name: str) -> list[Binding]:
    """Return the bindings to write, without the Action `name`."""
    return [_to_reference(binding) for binding in bindings if binding["action"]["name"] != name]


def _to_reference(binding: Binding) -> Binding:
    return {"ref": {"type": "binding_id", "value": binding["id"]}, "display_name": binding["display_name"]}


def call(method: str, body: object = None) -> Any:
    """Call the trigger's bindings endpoint. Raise BindError if it returns an error or no JSON."""
    headers = {"Authorization": f"Bearer {os.environ['AUTH0_TOKEN']}", "Content-Type": "application/json"}
    connection = HTTPSConnection(
        os.environ["AUTH0_DOMAIN"], timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
    )
    try:
        path = PATH + ("?per_page=100" if method == "GET" else "")  # a trigger has at most 20
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        value = json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        raise BindError(f"can't reach {os.environ['AUTH0_DOMAIN']} or read its response: {error}") from error
    finally:
        connection.close()
    if response.status >= 300:
        raise BindError(f"{response.status} {value.get('message')}")
    return value


def write(requested: list[Binding], before: list[Binding]) -> list[Binding]:
    """Write the whole list, and return the new bindings. Raise BindError unless the kept ones are in the same order."""
    call("PATCH", {"bindings": requested})
    after: list[Binding] = call("GET")["bindings"]
    kept = {binding["ref"]["value"] for binding in requested if binding["ref"]["type"] == "binding_id"}
    expected = [binding["action"]["id"] for binding in before if binding["id"] in kept]
    found = [binding["action"]["id"] for binding in after]
    if [action for action in found if action in expected] != expected:
        raise BindError(f"wrong bindings after the change; restore them in Auth0. Previous: {json.dumps(before)}")
    return after


def main(arguments: list[str]) -> int:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    change = remove if "--remove" in arguments else add
    if "--filter" in arguments:
        print(json.dumps({"bindings": change(json.load(sys.stdin)["bindings"], name)}))
        return 0
    if set(arguments) - {"--remove"} or not os.environ.get("AUTH0_DOMAIN") or not os.environ.get("AUTH0_TOKEN"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        before = call("GET")["bindings"]
        is_bound = any(binding["action"]["name"] == name for binding in before)
        after = before if is_bound == (change is add) else write(change(before, name), before)
    except BindError as error:
        print(f"bind.py: {error}", file=sys.stderr)
        return 1
    listed = [f"{position}. {binding['display_name']}" for position, binding in enumerate(after, 1)]
    print("\n".join(listed) or "no Action is bound")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
