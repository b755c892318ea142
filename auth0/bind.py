"""Binds the Action to the trigger: it reads the bindings, adds ours last, and writes them back in their order.

    AUTH0_DOMAIN=… AUTH0_TOKEN=… python3 auth0/bind.py [--remove]

or, with the auth0 CLI's own login:

    B=actions/triggers/post-change-password/bindings
    auth0 api get $B | python3 auth0/bind.py --filter | auth0 api patch $B

AUTH0_ACTION is the Action's name where it is another than password-notice. Standard library alone.
"""

import json
import os
import ssl
import sys
from http.client import HTTPException, HTTPSConnection
from typing import Any

PATH = "/api/v2/actions/triggers/post-change-password/bindings"
SECONDS = 30
Binding = dict[str, Any]


class BindError(Exception):
    """The Management API says no, or says nothing that can be understood."""


def added(bindings: list[Binding], name: str) -> list[Binding]:
    """The bindings as they are to be written, with the Action `name` among them: last, unless it is there already."""
    kept = [_kept(binding) for binding in bindings]
    if any(binding["action"]["name"] == name for binding in bindings):
        return kept
    return [*kept, {"ref": {"type": "action_name", "value": name}, "display_name": name}]


def removed(bindings: list[Binding], name: str) -> list[Binding]:
    return [_kept(binding) for binding in bindings if binding["action"]["name"] != name]


def _kept(binding: Binding) -> Binding:
    return {"ref": {"type": "binding_id", "value": binding["id"]}, "display_name": binding["display_name"]}


def call(method: str, body: object = None) -> Any:
    """Raises Refused."""
    headers = {"Authorization": f"Bearer {os.environ['AUTH0_TOKEN']}", "Content-Type": "application/json"}
    connection = HTTPSConnection(os.environ["AUTH0_DOMAIN"], timeout=SECONDS, context=ssl.create_default_context())
    try:
        path = PATH + ("?per_page=100" if method == "GET" else "")  # a trigger has at most 20
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        raise BindError(f"{os.environ['AUTH0_DOMAIN']} gives no answer: {error}") from error
    finally:
        connection.close()
    if response.status >= 300:
        raise BindError(f"{response.status} {answer.get('message')}")
    return answer


def write(change: list[Binding], before: list[Binding]) -> list[Binding]:
    """Writes the whole list, and sees that every binding that was to stay is still there, in its order."""
    call("PATCH", {"bindings": change})
    after: list[Binding] = call("GET")["bindings"]
    staying = {binding["ref"]["value"] for binding in change if binding["ref"]["type"] == "binding_id"}
    expected = [binding["action"]["id"] for binding in before if binding["id"] in staying]
    found = [binding["action"]["id"] for binding in after]
    if [action for action in found if action in expected] != expected:
        raise BindError(f"the bindings are not what they should be; before, they were: {json.dumps(before)}")
    return after


def main(arguments: list[str]) -> int:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    change = removed if "--remove" in arguments else added
    if "--filter" in arguments:
        print(json.dumps({"bindings": change(json.load(sys.stdin)["bindings"], name)}))
        return 0
    if set(arguments) - {"--remove"} or not os.environ.get("AUTH0_DOMAIN") or not os.environ.get("AUTH0_TOKEN"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        before = call("GET")["bindings"]
        is_bound = any(binding["action"]["name"] == name for binding in before)
        after = before if is_bound == (change is added) else write(change(before, name), before)
    except BindError as refused:
        print(f"bind.py: {refused}", file=sys.stderr)
        return 1
    print(
        "\n".join(f"{place}. {binding['display_name']}" for place, binding in enumerate(after, 1)) or "nothing is bound"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
