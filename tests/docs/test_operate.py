"""The operator documentation explains every code and log field, and its gcloud commands are valid."""

import ast
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeGuard

import pytest

from deploy.alerts import wanted
from tests.support.gcloud import environment, gcloud, needs_gcloud

ROOT = Path(__file__).parents[2]
PAGE, CODES = ((ROOT / "docs" / name).read_text("utf-8") for name in ("operate.md", "codes.md"))
PRODUCT = [*ROOT.glob("runtime/*.py"), *ROOT.glob("notice/*.py")]
SHELL = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^ *(gcloud .*)", SHELL, re.MULTILINE) + re.findall(r"`(gcloud [^`]+)`", PAGE)
CODE = re.compile(
    r"""(?:code=|"code": |NoticeError\(|InvalidCallout\(|Unavailable\(|error_class\(|__init__\()\s*"([a-z_]+)\""""
)


def test_every_code_is_explained() -> None:
    codes = {code for file in PRODUCT for code in CODE.findall(file.read_text("utf-8"))}

    assert {"invalid_signature", "mail_rejected", "queue_unavailable", "unknown_action", "stale_secret_served"} <= codes
    assert not [code for code in sorted(codes) if f"`{code}`" not in CODES]


def test_every_reason_for_an_abandoned_notice_is_explained() -> None:
    reasons = set(re.findall(r'Result\("abandoned", reason="(\w+)"', (ROOT / "runtime" / "flow.py").read_text("utf-8")))

    assert reasons
    assert not [reason for reason in reasons if f"`{reason}`" not in CODES]


def test_every_field_of_a_log_line_is_explained() -> None:
    calls = [node for file in PRODUCT for node in ast.walk(ast.parse(file.read_text("utf-8"))) if is_log_call(node)]
    fields = {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}
    table = CODES.partition("| field | in | meaning |")[2]

    assert fields >= {"callout", "code", "user", "console", "duration_ms"}
    assert not [field for field in sorted(fields) if f"`{field}`" not in table]


def is_log_call(node: ast.AST) -> TypeGuard[ast.Call]:
    names = {"write", "bind"}
    return isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in names


def test_each_row_of_the_alert_table_has_an_alert() -> None:
    table = PAGE.partition("| alert | why |\n|---|---|\n")[2].partition("\n\n")[0]

    assert len(table.splitlines()) == len(wanted("policies", "password-notice"))


@pytest.mark.slow
@needs_gcloud
def test_gcloud_accepts_every_command(tmp_path: Path) -> None:
    def error(command: str) -> str:
        result = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--command-string={command}")
        [lint] = json.loads(result.stdout)
        return "" if lint["success"] else f"{command}: {lint['error_message']}"

    with ThreadPoolExecutor(4) as pool:
        errors = [message for message in pool.map(error, COMMANDS) if message]

    assert len(COMMANDS) > 10
    assert not errors


@pytest.mark.parametrize("text", [*COMMANDS, *(metric["filter"] for metric in wanted("metrics", "password-notice"))])
def test_log_filters_use_fields_that_the_runtime_writes(text: str) -> None:
    source = "\n".join(file.read_text("utf-8") for file in PRODUCT)

    for name in re.findall(r"jsonPayload\.(\w+)", text):
        assert re.search(rf"\b{name}=", source), name


def test_every_alert_uses_a_metric_of_its_own_or_the_queues() -> None:
    metrics = {metric["name"] for metric in wanted("metrics", "password-notice")}
    used = set(re.findall(r"logging\.googleapis\.com/user/(\w+)", json.dumps(wanted("policies", "password-notice"))))

    assert used == metrics
