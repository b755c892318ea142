"""docs/deploy.md, and whatever else names a command of deploy.sh: it is there."""

import json
import re
from pathlib import Path

import pytest

from doctor import env_file
from tests.deploy.conftest import SOURCE
from tests.support.gcloud import environment, gcloud, needs_gcloud

PAGE = (SOURCE / "docs" / "deploy.md").read_text("utf-8")
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
PROGRAM = (SOURCE / "deploy.sh").read_text("utf-8")
COMMANDS = set(
    re.findall(r"[a-z-]+", PROGRAM[PROGRAM.rindex("case $command in\n    help)") :].partition("*) usage")[0])
)
PLACES = [SOURCE / "README.md", *SOURCE.glob("docs/*.md"), SOURCE / "deploy.sh", *SOURCE.glob("doctor/*.py")]


@pytest.mark.parametrize("place", PLACES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_command_of_deploy_sh_that_is_named_exists(place: Path) -> None:
    named = set(re.findall(r"\./deploy\.sh(?: -e \S+)? ([a-z][a-z-]*)", place.read_text("utf-8")))
    assert named - {"and", "checks"} <= COMMANDS


def test_the_page_names_every_command_of_deploy_sh() -> None:
    usage = re.findall(r"^  ([a-z-]+)[ ,]", PROGRAM.partition("<<'TEXT'")[2].partition("\nTEXT")[0], re.MULTILINE)
    assert len(usage) > 10
    assert [command for command in usage if f"./deploy.sh {command}" not in PAGE] == []


def test_every_setting_that_the_page_quotes_stands_in_the_example() -> None:
    example = env_file.read(SOURCE / "env.yaml.example")
    quoted = set(re.findall(r"`([A-Z][A-Z_]+)(?:: [^`]*)?`", PAGE)) - {"FUNCTION_URL", "CALLOUT_SIGNING_KEY", "NAME"}
    assert quoted >= {"DELIVERY", "SERVICE", "MIN_INSTANCES"}
    assert quoted <= example.keys()


def test_the_pages_secrets_are_those_of_the_action() -> None:
    tenant = (SOURCE / "auth0" / "tenant.yaml").read_text("utf-8")
    assert [name for name in re.findall(r"##(\w+)##", tenant) if f"`{name}`" not in PAGE] == []


@needs_gcloud
def test_gcloud_knows_the_pages_commands(tmp_path: Path) -> None:
    commands = sorted(set(re.findall(r"gcloud [a-z][^)\"\n#]*", SHELL)))
    listed = tmp_path / "commands.json"
    listed.write_text(json.dumps([{"command_string": line, "id": number} for number, line in enumerate(commands)]))
    done = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--commands-file={listed}")
    told = json.loads(done.stdout)
    assert len(told) == len(commands) >= 3
    assert [f"{each['command_string']}: {each['error_message']}" for each in told if not each["success"]] == []


def test_the_sums_of_the_monthly_costs_are_right() -> None:
    sums = re.findall(r"\| ([0-9(][0-9(), \u00d7\u2212.]+) = ([0-9.]+) \|", PAGE)
    assert len(sums) == 2
    for terms, told in sums:
        assert round(eval(terms.replace(",", "").replace("\u00d7", "*").replace("\u2212", "-")), 2) == float(told)
