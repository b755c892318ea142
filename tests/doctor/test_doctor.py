"""The doctor against the emulator: it reports each injected problem, with its fix."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from doctor import callout, sendgrid
from doctor.__main__ import main
from doctor.context import CheckContext
from doctor.finding import Finding, Level, summarize
from emulator.core.faults import Fault
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Emulator
from emulator.sendgrid.faults import fault as sendgrid_fault
from emulator.sendgrid.server import FakeSendGrid
from notice.languages import is_available
from runtime.clock import Clock
from settings import PRIVATE_TARGET, load
from tests.auth0.management_api import CLIENT_ID, CLIENT_SECRET
from tests.doctor.conftest import Deployment, RunDoctor
from tests.doctor.conftest import Finding as JsonFinding

SECRETS = "./deploy.sh secret"
ROTATE = "./deploy.sh rotate-sendgrid-key"
Break = Callable[[Deployment], object]


def lines(findings: list[JsonFinding], *levels: str) -> list[str]:
    return [
        f"{finding['check']}: {finding['what']} | {finding['fix']}"
        for finding in findings
        if finding["level"] in levels
    ]


def only_finding(findings: list[JsonFinding], level: str, *texts: str) -> JsonFinding:
    """Return the only finding of this level that contains all of the texts."""
    matching = [finding for finding in findings if all(text in " ".join(finding.values()) for text in texts)]
    [finding] = [finding for finding in matching if finding["level"] == level]
    assert finding["why"]
    assert finding["fix"]
    return finding


def test_a_healthy_deployment_passes_every_check(run_doctor: RunDoctor) -> None:
    findings = run_doctor()
    assert lines(findings, "skipped", "warning", "error") == []
    checks = {finding["check"] for finding in findings}
    assert checks == {"settings", "secrets", "sendgrid", "clock", "sender", "domain", "callout", "tenant", "logs"}


def test_a_proxy_is_not_used_for_loopback(
    run_doctor: RunDoctor, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH0_DOMAIN", deployment.tenant.domain)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.setenv(name, "" if name == "no_proxy" else "http://127.0.0.1:1")
    assert lines(run_doctor(), "skipped", "warning", "error") == []


def test_the_doctor_sends_no_email(run_doctor: RunDoctor, deployment: Deployment) -> None:
    run_doctor()
    assert deployment.emulator.sendgrid.inbox() == []


def test_a_healthy_direct_mode_deployment_passes(run_doctor: RunDoctor, deployment: Deployment) -> None:
    with Emulator() as direct:
        deployment.settings, deployment.url = direct.settings, direct.function.url
        findings = run_doctor("secrets", "mail", "callout")
        assert lines(findings, "warning", "error") == []
        assert "responded sandbox" in " ".join(lines(findings, "ok"))


# ---- SendGrid's key ----


def wrong_key(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(f"SG.{'a' * 22}.{'b' * 43}")


def revoked_key(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.revoke(deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key()))


def ip_address_not_allowed(deployment: Deployment) -> None:
    reject(deployment, 401, "The requestor's IP Address is not whitelisted")


def forbidden(deployment: Deployment) -> None:
    reject(deployment, 403, "access forbidden")


def reject(deployment: Deployment, status: int, message: str) -> None:
    body = json.dumps({"errors": [{"field": None, "message": message}]})
    deployment.emulator.sendgrid.faults.add(Fault("status", status=status, body=body, count=None))


def truncated_key(deployment: Deployment) -> None:
    deployment.put_sendgrid_key("SG.half-of-a-truncated-key")


def unverified_sender(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.unverify("security@example.com")


def sendgrid_down(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.faults.add(sendgrid_fault("unavailable", count=None))


# ---- the signing key ----


def no_signing_key(deployment: Deployment) -> None:
    deployment.put_signing_key("secret")


# ---- the tenant ----


def no_action(deployment: Deployment) -> None:
    deployment.tenant.actions.clear()


def wrong_url_in_the_action(deployment: Deployment) -> None:
    [action] = deployment.tenant.actions
    deployment.tenant.secrets[action["id"]]["FUNCTION_URL"] = deployment.emulator.sendgrid.url


def revoked_token(deployment: Deployment) -> None:
    deployment.tenant.revoke_token()


def wrong_client_secret(deployment: Deployment) -> None:
    deployment.patch.setenv("AUTH0_TOKEN", "")
    deployment.patch.setenv("AUTH0_CLIENT_ID", CLIENT_ID)
    deployment.patch.setenv("AUTH0_CLIENT_SECRET", "another")


def malformed_domain(deployment: Deployment) -> None:
    deployment.patch.setenv("AUTH0_DOMAIN", "http://acme.eu.auth0.com")


def another_api(deployment: Deployment) -> None:
    deployment.patch.setenv("AUTH0_DOMAIN", deployment.emulator.sendgrid.url)


def unreachable_function(deployment: Deployment) -> None:
    deployment.url = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("break_it", "what", "fix"),
    [
        (wrong_key, "SendGrid responded 401: The provided authorization grant is invalid", ROTATE),
        (revoked_key, "SendGrid responded 401: The provided authorization grant is invalid", ROTATE),
        (ip_address_not_allowed, "401: The requestor's IP Address is not whitelisted", "IP Access Management"),
        (forbidden, "SendGrid responded 403: access forbidden", "whether the account is allowed to send"),
        (truncated_key, "SENDGRID_API_KEY is malformed", f"{SECRETS} SENDGRID_API_KEY"),
        (unverified_sender, "does not match a verified Sender Identity", "SENDER_EMAIL"),
        (sendgrid_down, "SendGrid responded 503: service unavailable", "https://status.sendgrid.com"),
        (no_signing_key, "key 1 of CALLOUT_SIGNING_KEY", f"{SECRETS} CALLOUT_SIGNING_KEY"),
        (no_action, "the tenant has no Action password-notice", "docs/deploy.md"),
        (wrong_url_in_the_action, "Auth0 ran the Action, and it failed", "FUNCTION_URL"),
        (revoked_token, "401 Invalid token", "get a new token: docs/deploy.md"),
        (wrong_client_secret, "401 Unauthorized", "check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET"),
        (malformed_domain, "AUTH0_DOMAIN isn't a domain or an https URL", "TENANT.eu.auth0.com"),
        (another_api, "the Auth0 tenant couldn't be checked: 404", "TENANT.eu.auth0.com"),
        (unreachable_function, "no response from http://127.0.0.1:1", "curl"),
    ],
)
def test_an_error_is_reported_with_its_fix(
    run_doctor: RunDoctor, deployment: Deployment, break_it: Break, what: str, fix: str
) -> None:
    break_it(deployment)
    only_finding(run_doctor(), "error", what, fix)


def test_a_failure_of_deliver_is_reported_and_the_sample_task_is_deleted(
    run_doctor: RunDoctor, deployment: Deployment
) -> None:
    unverified_sender(deployment)
    only_finding(
        run_doctor("callout"), "error", "deliver failed to run on_execute_post_change_password", "gcloud logging read"
    )
    assert deployment.emulator.cloud_tasks is not None
    assert deployment.emulator.cloud_tasks.tasks() == []


# ---- warnings ----


def full_access(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key("mail.send", "api_keys.create", "mail.batch.read"))


def rotation(deployment: Deployment) -> None:
    deployment.emulator.keys.rotate_signing_key()


def single_sender(deployment: Deployment) -> None:
    deployment.records.clear()


def no_dmarc_policy(deployment: Deployment) -> None:
    del deployment.records["_dmarc.example.com"]


@pytest.mark.parametrize(
    ("break_it", "what", "fix"),
    [
        (full_access, "2 more permissions than mail.send", ROTATE),
        (rotation, "a rotation of the signing key is in progress", "rotate-signing-key finish"),
        (single_sender, "example.com has no SendGrid DKIM record", "Authenticate Your Domain"),
        (no_dmarc_policy, "example.com has no DMARC policy", "v=DMARC1"),
    ],
)
def test_a_warning_is_reported_with_its_fix(
    run_doctor: RunDoctor, deployment: Deployment, break_it: Break, what: str, fix: str
) -> None:
    break_it(deployment)
    findings = run_doctor("secrets", "mail", "domain", "tenant")
    only_finding(findings, "warning", what, fix)
    assert lines(findings, "error") == []


def test_a_dmarc_policy_of_the_parent_domain_applies(run_doctor: RunDoctor, deployment: Deployment) -> None:
    deployment.settings["SENDER_EMAIL"] = "security@mail.example.com"
    deployment.records["s2._domainkey.mail.example.com"] = ["s2.domainkey.u42.wl042.sendgrid.net."]
    assert "SendGrid signs for mail.example.com, and its DMARC policy is p=reject" in " ".join(
        lines(run_doctor("domain"), "ok")
    )


def test_a_key_of_the_other_region_is_reported_with_its_host(
    run_doctor: RunDoctor, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSendGrid(Journal()) as other:
        monkeypatch.setitem(sendgrid.OTHER_HOST, deployment.settings["SENDGRID_URL"], other.url)
        deployment.put_sendgrid_key(other.new_key())
        only_finding(run_doctor("mail"), "error", "the key isn't valid at", f'SENDGRID_URL to "{other.url}"')


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_skewed_clock_is_reported_and_the_callout_is_signed_with_the_corrected_time(
    deployment: Deployment, seconds: float
) -> None:
    real = Clock()
    clock = Clock(lambda: real.now() + seconds, real.monotonic, real.sleep, real.random)
    values = deployment.settings
    settings = load({**values, "FUNCTION_TARGET": PRIVATE_TARGET}, is_language=is_available)
    context = CheckContext(values, settings, deployment.url, clock=clock)
    context.signing_key = deployment.emulator.keys.signing_key
    first, *rest = callout.check(context)
    assert (first.level, first.check) == ("error", "clock")
    assert "ahead" in first.what if seconds > 0 else "behind" in first.what
    assert "timedatectl" in first.fix
    assert [finding.level for finding in rest] == ["ok"]


# ---- access to the tenant ----


@pytest.mark.parametrize("form", ["https://{}", "https://{}/"])
def test_the_tenants_url_and_client_credentials_are_accepted(
    run_doctor: RunDoctor, deployment: Deployment, form: str
) -> None:
    deployment.patch.setenv("AUTH0_DOMAIN", form.format(os.environ["AUTH0_DOMAIN"]))
    deployment.patch.setenv("AUTH0_TOKEN", "")
    deployment.patch.setenv("AUTH0_CLIENT_ID", CLIENT_ID)
    deployment.patch.setenv("AUTH0_CLIENT_SECRET", CLIENT_SECRET)
    findings = run_doctor("tenant")
    assert lines(findings, "skipped", "warning", "error") == []
    assert "Auth0 ran the Action" in " ".join(lines(findings, "ok"))


def test_an_unknown_tenant_is_not_compared_with_the_allowed_ones(run_doctor: RunDoctor, deployment: Deployment) -> None:
    deployment.settings["ALLOWED_TENANTS"] = "acme"
    deployment.patch.setenv("AUTH0_DOMAIN", deployment.tenant.domain)
    [skipped] = lines(run_doctor("tenant"), "skipped")
    assert "ALLOWED_TENANTS wasn't compared with the tenant" in skipped


def test_the_name_of_the_action_can_have_spaces(run_doctor: RunDoctor, deployment: Deployment) -> None:
    deployment.patch.setenv("AUTH0_ACTION", "Notice & audit")
    only_finding(run_doctor("tenant"), "error", "the tenant has no Action Notice & audit for", "docs/deploy.md")


# ---- the logs of the audit ----


def test_logs_that_a_scope_keeps_unread_are_reported(run_doctor: RunDoctor, deployment: Deployment) -> None:
    log = deployment.emulator.tenant_log
    deployment.patch.setenv("AUTH0_DOMAIN", log.url)
    deployment.patch.setenv("AUTH0_TOKEN", log.new_token("read:actions"))
    deployment.patch.setenv("SENDGRID_LOGS_KEY", deployment.emulator.sendgrid.new_key("mail.send"))
    findings = run_doctor("logs")
    only_finding(findings, "warning", "Auth0's log can't be read: Auth0 responded 403", "read:logs")
    only_finding(findings, "warning", "SendGrid's log can't be read: SendGrid responded 403", "SENDGRID_LOGS_KEY: give")


def test_logs_without_access_are_skipped(run_doctor: RunDoctor, deployment: Deployment) -> None:
    deployment.patch.delenv("AUTH0_TOKEN")
    deployment.patch.setenv("SENDGRID_LOGS_KEY", "")
    skipped = lines(run_doctor("logs"), "skipped")
    assert ["AUTH0_TOKEN" in skipped[0], "SENDGRID_LOGS_KEY" in skipped[1]] == [True, True]


# ---- SendGrid's responses ----


@pytest.mark.parametrize(
    ("message", "what", "fix"),
    [
        ("SendGrid rejected the email (404: gone).", "SendGrid rejected the email (404: gone)", "fix what SendGrid"),
        ("SendGrid rejected the email (400: a). b). Fix it.", "SendGrid rejected the email (400: a). b)", "Fix it."),
    ],
)
def test_a_rejection_is_split_into_what_and_fix(message: str, what: str, fix: str) -> None:
    finding = sendgrid._explain_sender(message)
    assert finding.what == what
    assert finding.fix.startswith(fix)


@pytest.mark.parametrize("remain", [0, 5])
def test_the_credits_are_read_with_the_key_for_the_logs(
    run_doctor: RunDoctor, deployment: Deployment, remain: int
) -> None:
    deployment.patch.setenv("SENDGRID_LOGS_KEY", deployment.emulator.sendgrid.new_key("user.credits.read"))
    deployment.emulator.sendgrid.credits = remain
    errors = " ".join(lines(run_doctor("mail"), "error"))
    assert ("the SendGrid account has no credits left" in errors) == (remain == 0)


# ---- the function's URL ----


@pytest.mark.parametrize(
    ("status", "what", "fix"),
    [
        (200, "accepts an unsigned callout", "FUNCTION_URL"),
        (403, "the service isn't public", "./deploy.sh deploy"),
        (404, "not as the function does", "ingress"),
    ],
)
def test_a_url_that_is_not_the_functions_is_reported(
    run_doctor: RunDoctor, deployment: Deployment, status: int, what: str, fix: str
) -> None:
    app = Flask("another")
    app.add_url_rule("/", view_func=lambda: ("<html>Sign in</html>", status), methods=["POST"])
    with Server("another", app, Journal()) as another:
        deployment.url = another.url
        only_finding(run_doctor("callout"), "error", what, fix)


def test_a_function_with_a_different_signing_key_is_reported(run_doctor: RunDoctor, deployment: Deployment) -> None:
    with Emulator() as other:
        deployment.url = other.function.url
        only_finding(run_doctor("callout"), "error", "401 invalid_signature", "./deploy.sh")


# ---- the command line ----


def test_a_check_without_its_options_is_skipped(
    run_doctor: RunDoctor, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTH0_TOKEN")
    assert "the Auth0 tenant wasn't checked" in " ".join(lines(run_doctor("tenant"), "skipped"))
    context = CheckContext(deployment.settings, load(deployment.settings))
    assert [finding.level for finding in callout.check(context)] == ["skipped"]


def test_a_function_that_is_not_deployed_is_an_error(run_doctor: RunDoctor, deployment: Deployment) -> None:
    deployment.url = ""
    only_finding(run_doctor(), "error", "the function isn't deployed", "./deploy.sh")


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (["ok", "warning"], "healthy: a password change sends an email"),
        (["ok", "skipped"], "no errors, but whether a password change sends an email wasn't checked completely"),
        (["error", "skipped", "error"], "2 errors: fix them"),
    ],
)
def test_the_summary_claims_no_more_than_was_checked(levels: list[Level], expected: str) -> None:
    assert summarize([Finding(level, "any", "what") for level in levels]).startswith(expected)


def test_a_new_sendgrid_key_is_read_from_standard_input(
    run_doctor: RunDoctor, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    valid, useless = deployment.emulator.sendgrid.new_key(), deployment.emulator.sendgrid.new_key("stats.read")
    for key, errors in ((valid, 0), (useless, 1), ("SG.", 1)):
        (tmp_path / "key").write_text(f"{key}\n")
        with (tmp_path / "key").open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert len(lines(run_doctor("key"), "error")) == errors


def test_errors_in_env_yaml_stop_further_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text('SENDER_EMAIL: "nobody"\n')
    assert main([f"--env={tmp_path / 'env.yaml'}"]) == 1
    output = capsys.readouterr().out
    assert "error   settings: SENDER_EMAIL isn't one email address" in output
    assert "error   settings: SUPPORT_CONTACT is missing" in output
    assert "secrets" not in output


def test_quiet_prints_nothing_if_all_checks_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text('SENDER_EMAIL: "a@example.com"\nSUPPORT_CONTACT: "b@example.com"\n')
    assert main(["settings", "--quiet", f"--env={tmp_path / 'env.yaml'}"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_json_output_has_the_same_findings_as_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text("")
    main(["settings", f"--env={tmp_path / 'env.yaml'}"])
    text = capsys.readouterr().out
    main(["settings", "--json", f"--env={tmp_path / 'env.yaml'}"])
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        assert f"{finding['what']}\n        why: {finding['why']}\n        fix: {finding['fix']}" in text


def test_an_unknown_check_is_rejected_with_the_list_of_checks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_error:
        main(["weather"])
    assert exit_error.value.code == 2
    assert "settings, secrets, mail, domain, callout, tenant, logs" in capsys.readouterr().err
