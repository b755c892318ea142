"""auth0/: Auth0 Deploy CLI imports tenant.yaml's Action, and bind.py adds it to the trigger's bindings."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth0.management_api import CLIENT_ID, CLIENT_SECRET, TOKEN, FakeManagementApi
from tests.support.npm import npm_package

ROOT = Path(__file__).parents[2]
NAME = "password-notice"
VERSION = re.search(r"npx auth0-deploy-cli@([0-9.]+) import", (ROOT / "docs" / "deploy.md").read_text("utf-8"))
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def auth0(tmp_path: Path) -> Iterator[FakeManagementApi]:
    with FakeManagementApi(tmp_path) as auth0:
        yield auth0


def environment(auth0: FakeManagementApi) -> dict[str, str]:
    ca_settings = {name: str(auth0.ca_certificate) for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")}
    return {**os.environ, **ca_settings, "AUTH0_DOMAIN": auth0.domain, "AUTH0_TOKEN": TOKEN}


def bind(
    auth0: FakeManagementApi, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "auth0" / "bind.py"), *arguments]
    return subprocess.run(
        command,
        env=environment(auth0) | variables,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def import_tenant(auth0: FakeManagementApi) -> subprocess.CompletedProcess[str]:
    """Run the import command of docs/deploy.md."""
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
def test_deploy_cli_creates_builds_and_deploys_only_the_action(auth0: FakeManagementApi) -> None:
    auth0.bind("audit")
    result = import_tenant(auth0)
    assert result.returncode == 0, result.stdout + result.stderr
    audit, action = auth0.actions
    assert (audit["name"], audit.get("deployed_version")) == ("audit", None)
    assert action["code"] == (ROOT / "auth0" / "action.js").read_text("utf-8")
    assert (action["name"], action["runtime"], action["dependencies"]) == (NAME, "node22", [])
    assert action["supported_triggers"] == [{"id": "post-change-password", "version": "v2"}]
    assert action["deployed_version"]["deployed"]
    assert auth0.secrets[action["id"]] == {"FUNCTION_URL": "https://notice.example.com", "CALLOUT_SIGNING_KEY": KEY}
    assert auth0.bound == [("audit", "audit!")]


@pytest.mark.slow
def test_a_second_import_updates_the_same_action(auth0: FakeManagementApi) -> None:
    for _ in range(2):
        result = import_tenant(auth0)
        assert result.returncode == 0, result.stdout + result.stderr
    assert [action["name"] for action in auth0.actions] == [NAME]


def test_bind_appends_the_action_and_keeps_the_order_of_the_others(auth0: FakeManagementApi) -> None:
    auth0.deploy(NAME, {})
    auth0.bind("audit", "crm")
    result = bind(auth0)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["1. audit!", "2. crm!", f"3. {NAME}"]
    assert auth0.bound == [("audit", "audit!"), ("crm", "crm!"), (NAME, NAME)]


def test_bind_writes_only_if_the_action_is_unbound(auth0: FakeManagementApi) -> None:
    auth0.deploy(NAME, {})
    for _ in range(2):
        assert bind(auth0).returncode == 0
    writes = [entry for entry in auth0.journal.entries() if entry.data["method"] == "PATCH"]
    assert len(writes) == 1
    assert auth0.bound == [(NAME, NAME)]


def test_bind_removes_only_the_action(auth0: FakeManagementApi) -> None:
    auth0.deploy(NAME, {})
    auth0.bind("audit", NAME, "crm")
    assert bind(auth0, "--remove").returncode == 0
    assert auth0.bound == [("audit", "audit!"), ("crm", "crm!")]
    assert bind(auth0, "--remove").returncode == 0


def test_bind_filters_the_bindings_piped_through_the_auth0_cli(auth0: FakeManagementApi) -> None:
    auth0.bind("audit")
    current = json.dumps({"bindings": auth0.bindings})
    [existing, added] = json.loads(bind(auth0, "--filter", stdin=current).stdout)["bindings"]
    assert existing == {"ref": {"type": "binding_id", "value": auth0.bindings[0]["id"]}, "display_name": "audit!"}
    assert added == {"ref": {"type": "action_name", "value": NAME}, "display_name": NAME}


def test_bind_reports_errors_of_the_management_api_and_changes_nothing(auth0: FakeManagementApi) -> None:
    auth0.bind("audit")
    result = bind(auth0)
    assert (result.returncode, auth0.bound) == (1, [("audit", "audit!")])
    assert "not deployed yet" in result.stderr
    assert "401 Invalid token" in bind(auth0, AUTH0_TOKEN="another").stderr
    no_network = bind(auth0, AUTH0_DOMAIN="localhost:1").stderr
    assert "no response from localhost:1: [Errno 111] Connection refused" in no_network
    assert "fix: check AUTH0_DOMAIN, which is the tenant's own domain" in no_network


@pytest.mark.parametrize("form", ["https://{}", "https://{}/", " {} "])
def test_bind_accepts_the_tenants_url(auth0: FakeManagementApi, form: str) -> None:
    auth0.deploy(NAME, {})
    result = bind(auth0, AUTH0_DOMAIN=form.format(auth0.domain))
    assert (result.returncode, auth0.bound) == (0, [(NAME, NAME)]), result.stderr


@pytest.mark.parametrize("domain", ["http://acme.eu.auth0.com", "acme.eu.auth0.com/api/v2", "acme eu", "https://"])
def test_bind_rejects_a_malformed_domain_without_a_traceback(auth0: FakeManagementApi, domain: str) -> None:
    result = bind(auth0, AUTH0_DOMAIN=domain)
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == "bind.py: AUTH0_DOMAIN isn't a domain or an https URL"
    assert "TENANT.eu.auth0.com" in result.stderr


def test_bind_gets_a_token_with_client_credentials(auth0: FakeManagementApi) -> None:
    auth0.deploy(NAME, {})
    client = {"AUTH0_TOKEN": "", "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET}
    result = bind(auth0, **client)
    assert (result.returncode, auth0.bound) == (0, [(NAME, NAME)]), result.stderr
    rejected = bind(auth0, **{**client, "AUTH0_CLIENT_SECRET": "another"})
    assert rejected.returncode == 1
    assert rejected.stderr.startswith("bind.py: 401 Unauthorized\nfix: check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET")


def test_bind_requires_a_domain_and_a_token(auth0: FakeManagementApi) -> None:
    result = bind(auth0, AUTH0_TOKEN="")
    assert result.returncode == 2
    assert "AUTH0_DOMAIN" in result.stderr
