"""Bind the Action to the trigger: read the bindings, append the Action, and write them back in the same order.

    AUTH0_DOMAIN=… AUTH0_TOKEN=… python3 auth0/bind.py [--remove]

AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET can replace AUTH0_TOKEN. Or, signed in with the auth0 CLI:

    B=actions/triggers/post-change-password/bindings
    auth0 api get $B | python3 auth0/bind.py --filter | auth0 api patch $B

Set AUTH0_ACTION if the Action's name isn't password-notice. Uses only the standard library.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this file runs as a script

from auth0.management_api import ManagementApi, ManagementApiError, connect, is_configured

PATH = "actions/triggers/post-change-password/bindings"
Binding = dict[str, Any]


class BindError(Exception):
    """The bindings that Auth0 stored aren't those that were written."""


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


def read(api: ManagementApi) -> list[Binding]:
    bindings: list[Binding] = api.request("GET", f"{PATH}?per_page=100")["bindings"]  # a trigger has at most 20
    return bindings


def write(api: ManagementApi, requested: list[Binding], before: list[Binding]) -> list[Binding]:
    """Write the whole list, and return the new bindings. Raise BindError if the order of the remaining ones changed."""
    api.request("PATCH", PATH, {"bindings": requested})
    after = read(api)
    kept = {binding["ref"]["value"] for binding in requested if binding["ref"]["type"] == "binding_id"}
    expected = [binding["action"]["id"] for binding in before if binding["id"] in kept]
    actual = [binding["action"]["id"] for binding in after]
    if [action for action in actual if action in expected] != expected:
        raise BindError(f"wrong bindings after the change; restore them in Auth0. Previous: {json.dumps(before)}")
    return after


def main(arguments: list[str]) -> int:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    change = remove if "--remove" in arguments else add
    if "--filter" in arguments:
        print(json.dumps({"bindings": change(json.load(sys.stdin)["bindings"], name)}))
        return 0
    if set(arguments) - {"--remove"} or not is_configured(os.environ):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        api = connect(os.environ)
        before = read(api)
        is_bound = any(binding["action"]["name"] == name for binding in before)
        after = before if is_bound == (change is add) else write(api, change(before, name), before)
    except ManagementApiError as error:
        print(f"bind.py: {error}\nfix: {error.fix}", file=sys.stderr)
        return 1
    except BindError as error:
        print(f"bind.py: {error}", file=sys.stderr)
        return 1
    listed = [f"{position}. {binding['display_name']}" for position, binding in enumerate(after, 1)]
    print("\n".join(listed) or "no Action is bound")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
