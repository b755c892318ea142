"""tenant/: Auth0 Deploy CLI makes the Action of tenant.yaml, and bind.py adds it to what is bound already."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth0.management_api import TOKEN, Management
from tests.support.npm import npm_package

ROOT = Path(__file__).parents[2]
NAME = "password-notice"
VERSION = re.search(r"npx auth0-deploy-cli@([0-9.]+) import", (ROOT / "docs" / "deploy.md").read_text("utf-8"))
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def auth0(tmp_path: Path) -> Iterator[Management]:
    with Management(tmp_path) as auth0:
        yield auth0


def environment(auth0: Management) -> dict[str, str]:
    trust = {name: str(auth0.authority) for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")}
    return {**os.environ, **trust, "AUTH0_DOMAIN": auth0.domain, "AUTH0_TOKEN": TOKEN}


def bind(auth0: Management, *words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "auth0" / "bind.py"), *words]
    return subprocess.run(
        command,
        env=environment(auth0) | variables,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def import_tenant(auth0: Management) -> subprocess.CompletedProcess[str]:
    """As docs/deploy.md says."""
    assert VERSION is not None
    program = npm_package("auth0-deploy-cli", VERSION[1]) / "auth0-deploy-cli" / "lib" / "index.js"
    variables = {
        "AUTH0_ACCESS_TOKEN": TOKEN,
        "AUTH0_INCLUDED_ONLY": '["actions"]',
        "FUNCTION_URL": "https://notice.example.com",
        "CALLOUT_SIGNING_KEY": KEY,
    }
    node = str(Path(sys.executable).with_name("node"))
    command = [node, str(program), "import", "--input_file", str(ROOT / "auth0" / "tenant.yaml")]
    return subprocess.run(
        command, env=environment(auth0) | variables, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_deploy_cli_makes_builds_and_deploys_the_action_and_touches_no_other(auth0: Management) -> None:
    auth0.bind("audit")
    done = import_tenant(auth0)
    assert done.returncode == 0, done.stdout + done.stderr
    audit, action = auth0.actions
    assert (audit["name"], audit.get("deployed_version")) == ("audit", None)
    assert action["code"] == (ROOT / "auth0" / "action.js").read_text("utf-8")
    assert (action["name"], action["runtime"], action["dependencies"]) == (NAME, "node22", [])
    assert action["supported_triggers"] == [{"id": "post-change-password", "version": "v2"}]
    assert action["deployed_version"]["deployed"]
    assert auth0.values[action["id"]] == {"FUNCTION_URL": "https://notice.example.com", "CALLOUT_SIGNING_KEY": KEY}
    assert auth0.bound == [("audit", "audit!")]


@pytest.mark.slow
def test_a_second_import_changes_the_same_action(auth0: Management) -> None:
    for _ in range(2):
        done = import_tenant(auth0)
        assert done.returncode == 0, done.stdout + done.stderr
    assert [action["name"] for action in auth0.actions] == [NAME]


def test_bind_adds_ours_last_and_keeps_the_others_in_order(auth0: Management) -> None:
    auth0.deploy(NAME, {})
    auth0.bind("audit", "crm")
    done = bind(auth0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1. audit!", "2. crm!", f"3. {NAME}"]
    assert auth0.bound == [("audit", "audit!"), ("crm", "crm!"), (NAME, NAME)]


def test_bind_twice_writes_once(auth0: Management) -> None:
    auth0.deploy(NAME, {})
    for _ in range(2):
        assert bind(auth0).returncode == 0
    writes = [entry for entry in auth0.journal.entries() if entry.data["method"] == "PATCH"]
    assert len(writes) == 1
    assert auth0.bound == [(NAME, NAME)]


def test_bind_takes_ours_out_again(auth0: Management) -> None:
    auth0.deploy(NAME, {})
    auth0.bind("audit", NAME, "crm")
    assert bind(auth0, "--remove").returncode == 0
    assert auth0.bound == [("audit", "audit!"), ("crm", "crm!")]
    assert bind(auth0, "--remove").returncode == 0


def test_bind_filters_what_the_auth0_cli_reads_and_writes(auth0: Management) -> None:
    auth0.bind("audit")
    given = json.dumps({"bindings": auth0.bindings})
    [kept, ours] = json.loads(bind(auth0, "--filter", given=given).stdout)["bindings"]
    assert kept == {"ref": {"type": "binding_id", "value": auth0.bindings[0]["id"]}, "display_name": "audit!"}
    assert ours == {"ref": {"type": "action_name", "value": NAME}, "display_name": NAME}


def test_bind_says_what_the_tenant_said_and_changes_nothing(auth0: Management) -> None:
    auth0.bind("audit")
    done = bind(auth0)
    assert (done.returncode, auth0.bound) == (1, [("audit", "audit!")])
    assert "not deployed yet" in done.stderr
    assert "401 Invalid token" in bind(auth0, AUTH0_TOKEN="another").stderr
    assert "gives no answer" in bind(auth0, AUTH0_DOMAIN="localhost:1").stderr


def test_bind_needs_to_know_the_tenant(auth0: Management) -> None:
    done = bind(auth0, AUTH0_TOKEN="")
    assert done.returncode == 2
    assert "AUTH0_DOMAIN" in done.stderr
