"""The commands and settings that docs/deploy.md and other files name exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from deploy import config
from deploy.__main__ import COMMANDS
from tests.deploy.conftest import SOURCE
from tests.support.gcloud import environment, gcloud, needs_gcloud

PAGE = (SOURCE / "docs" / "deploy.md").read_text("utf-8")
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
PLACES = [SOURCE / "README.md", *SOURCE.glob("docs/*.md"), *SOURCE.glob("deploy/*.py"), *SOURCE.glob("doctor/*.py")]


@pytest.mark.parametrize("place", PLACES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_command_of_deploy_sh_that_is_named_exists(place: Path) -> None:
    named = set(re.findall(r"\./deploy\.sh(?: -e \S+)? ([a-z][a-z-]*)", place.read_text("utf-8")))
    assert named - {"and", "checks", "help"} <= COMMANDS.keys()


def test_the_page_names_every_command_of_deploy_sh() -> None:
    assert [command for command in COMMANDS if f"./deploy.sh {command}" not in PAGE] == []


NOT_IN_THE_EXAMPLE = {"FUNCTION_URL", "CALLOUT_SIGNING_KEY", "SENDGRID_LOGS_KEY", "NAME"}


def test_every_setting_that_the_page_quotes_is_in_the_example() -> None:
    example = config.read(SOURCE / "env.yaml.example")
    quoted = set(re.findall(r"`([A-Z][A-Z_]+)(?:: [^`]*)?`", PAGE)) - NOT_IN_THE_EXAMPLE
    assert quoted >= {"DELIVERY", "SERVICE", "MIN_INSTANCES"}
    assert quoted <= example.keys()


def test_the_pages_secrets_are_those_of_the_action() -> None:
    tenant = (SOURCE / "auth0" / "tenant.yaml").read_text("utf-8")
    assert [name for name in re.findall(r"##(\w+)##", tenant) if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize(
    ("variables", "key", "imports"),
    [
        ({"FUNCTION_URL": "https://notice.example.com"}, "echo whsec_key", True),
        ({"FUNCTION_URL": ""}, "echo whsec_key", False),
        ({"FUNCTION_URL": "https://notice.example.com"}, "exit 1", False),
    ],
)
def test_the_pages_import_deletes_nothing_and_needs_both_secrets(
    tmp_path: Path, variables: dict[str, str], key: str, imports: bool
) -> None:
    block = next(block for block in PAGE.split("```sh\n")[1:] if "auth0-deploy-cli" in block).partition("```")[0]
    block = block.replace(" FUNCTION_URL=https://\u2026", "")  # what the user may forget
    for name, line in (("npx", 'echo "$AUTH0_ALLOW_DELETE $FUNCTION_URL $CALLOUT_SIGNING_KEY"'), ("gcloud", key)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    script = block.partition("python3")[0]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "AUTH0_ALLOW_DELETE": "true", **variables}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == ("false https://notice.example.com whsec_key\n" if imports else "")


@needs_gcloud
def test_gcloud_knows_the_pages_commands(tmp_path: Path) -> None:
    commands = sorted(set(re.findall(r"gcloud [a-z][^)\"\n#]*", SHELL)))
    listed = tmp_path / "commands.json"
    listed.write_text(json.dumps([{"command_string": line, "id": number} for number, line in enumerate(commands)]))
    done = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--commands-file={listed}")
    results = json.loads(done.stdout)
    assert len(results) == len(commands) >= 3
    assert [f"{each['command_string']}: {each['error_message']}" for each in results if not each["success"]] == []


def test_the_sums_of_the_monthly_costs_are_right() -> None:
    sums = re.findall(r"\| ([0-9(][0-9(), \u00d7\u2212.]+) = ([0-9.]+) \|", PAGE)
    assert len(sums) == 2
    for terms, total in sums:
        assert round(eval(terms.replace(",", "").replace("\u00d7", "*").replace("\u2212", "-")), 2) == float(total)
