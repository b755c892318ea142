"""The operators' page: it knows every code, and its commands are gcloud's."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.gcloud import environment, gcloud, needs_gcloud

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate.md").read_text("utf-8")
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^gcloud .*", SHELL, re.MULTILINE) + re.findall(r"`(gcloud [^`]+)`", PAGE)
CODE = re.compile(r"""(?:code=|NoticeError\(|InvalidCallout\(|Unavailable\(|__init__\()\s*"([a-z_]+)\"""")


def test_every_code_of_the_product_is_explained() -> None:
    files = [*ROOT.glob("runtime/*.py"), *ROOT.glob("notice/*.py")]
    codes = {code for file in files for code in CODE.findall(file.read_text("utf-8"))}

    assert {"invalid_signature", "mail_rejected", "queue_unavailable", "unknown_action", "stale_secret_served"} <= codes
    assert not [code for code in sorted(codes) if f"`{code}`" not in PAGE]


def test_every_reason_to_abandon_a_notice_is_explained() -> None:
    reasons = set(re.findall(r'Result\("abandoned", reason="(\w+)"', (ROOT / "runtime" / "flow.py").read_text("utf-8")))

    assert reasons
    assert not [reason for reason in reasons if f"`{reason}`" not in PAGE]


def test_the_page_has_an_alert_for_each_row_of_its_table() -> None:
    table = PAGE.partition("| alert | why |")[2].partition("```sh")[0]

    assert len(re.findall(r"^\| (?!---)", table, re.MULTILINE)) - table.startswith("\n| alert") == len(
        [command for command in COMMANDS if "policies create" in command and "monitoring" in command]
    )


@pytest.mark.slow
@needs_gcloud
def test_gcloud_knows_every_command_of_the_page(tmp_path: Path) -> None:
    def fault(command: str) -> str:
        done = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--command-string={command}")
        [told] = json.loads(done.stdout)
        return "" if told["success"] else f"{command}: {told['error_message']}"

    with ThreadPoolExecutor(4) as pool:
        faults = [fault for fault in pool.map(fault, COMMANDS) if fault]

    assert len(COMMANDS) > 10
    assert not faults


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_the_filters_name_what_the_log_has(number: int) -> None:
    """Members of a line, as the flow writes them."""
    written = "\n".join(file.read_text("utf-8") for file in ROOT.glob("runtime/*.py"))

    for name in re.findall(r"jsonPayload\.(\w+)", COMMANDS[number]):
        assert re.search(rf"\b{name}=", written), name
