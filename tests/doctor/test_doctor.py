"""The doctor against the emulator: each fault that is planted is found, and its fix is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from doctor import callout, env_file, sendgrid
from doctor.__main__ import main
from doctor.context import CheckContext
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import SENDGRID_KEY, Emulator, new_signing_key
from emulator.sendgrid.faults import fault as sendgrid_fault
from emulator.sendgrid.server import FakeSendGrid
from runtime.clock import Clock
from settings import load
from tests.doctor.conftest import Deployment, Examine, Finding

SECRETS = "./deploy.sh secret"
ROTATE = "./deploy.sh rotate-sendgrid-key"
Plant = Callable[[Deployment], object]


def told(findings: list[Finding], *levels: str) -> list[str]:
    return [
        f"{finding['check']}: {finding['what']} | {finding['fix']}"
        for finding in findings
        if finding["level"] in levels
    ]


def the_one(findings: list[Finding], level: str, *words: str) -> Finding:
    """The only finding of this level that says all of this, in what it saw and in its fix."""
    [found] = [each for each in findings if each["level"] == level and all(w in " ".join(each.values()) for w in words)]
    assert found["why"]
    assert found["fix"]
    return found


def test_a_deployment_in_order_has_no_finding_but_good_ones(examine: Examine) -> None:
    findings = examine()
    assert told(findings, "note", "warning", "fault") == []
    checks = {finding["check"] for finding in findings}
    assert checks == {"settings", "secrets", "sendgrid", "clock", "sender", "domain", "callout", "tenant"}


def test_nobody_gets_mail_by_it(examine: Examine, deployment: Deployment) -> None:
    examine()
    assert deployment.emulator.sendgrid.inbox() == []


def test_it_looks_at_a_direct_deployment_alike(examine: Examine, deployment: Deployment) -> None:
    with Emulator() as direct:
        deployment.settings, deployment.url = direct.settings, direct.function.url
        findings = examine("secrets", "mail", "callout")
        assert told(findings, "warning", "fault") == []
        assert "answered sandbox" in " ".join(told(findings, "ok"))


# ---- SendGrid's key ----


def wrong_key(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(f"SG.{'a' * 22}.{'b' * 43}")


def revoked_key(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.revoke(deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key()))


def key_without_scope(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key("stats.read"))


def half_a_key(deployment: Deployment) -> None:
    deployment.put_sendgrid_key("SG.half-of-a-key-that-is")


def unverified_sender(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.unverify("security@example.com")


def disabled_version(deployment: Deployment) -> None:
    deployment.emulator.secret_manager.disable(SENDGRID_KEY)


def no_right_to_a_secret(deployment: Deployment) -> None:
    deployment.emulator.secret_manager.deny(SENDGRID_KEY)


def sendgrid_down(deployment: Deployment) -> None:
    deployment.emulator.sendgrid.faults.add(sendgrid_fault("unavailable", count=None))


# ---- the signing key ----


def no_signing_key(deployment: Deployment) -> None:
    deployment.put_signing_key("secret")


def another_key_in_the_action(deployment: Deployment) -> None:
    [action] = deployment.tenant.actions
    deployment.tenant.values[action["id"]]["CALLOUT_SIGNING_KEY"] = new_signing_key()


# ---- the tenant ----


def no_action(deployment: Deployment) -> None:
    deployment.tenant.actions.clear()


def not_bound(deployment: Deployment) -> None:
    deployment.tenant.bindings.clear()


def not_deployed(deployment: Deployment) -> None:
    del deployment.tenant.actions[0]["deployed_version"]


def no_secrets_in_the_action(deployment: Deployment) -> None:
    deployment.tenant.actions[0]["secrets"] = [{"name": "FUNCTION_URL"}]


def another_url_in_the_action(deployment: Deployment) -> None:
    [action] = deployment.tenant.actions
    deployment.tenant.values[action["id"]]["FUNCTION_URL"] = deployment.emulator.sendgrid.url


def old_token(deployment: Deployment) -> None:
    deployment.tenant.revoke_token()


def nobody_there(deployment: Deployment) -> None:
    deployment.url = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("plant", "says", "fix"),
    [
        (wrong_key, "SendGrid does not know the key", ROTATE),
        (revoked_key, "SendGrid does not know the key", ROTATE),
        (key_without_scope, "the key lacks mail.send", ROTATE),
        (half_a_key, "SENDGRID_API_KEY has not the form of a key", f"{SECRETS} SENDGRID_API_KEY"),
        (unverified_sender, "does not match a verified Sender Identity", "SENDER_EMAIL"),
        (disabled_version, "SENDGRID_API_KEY cannot be read", "gcloud secrets versions enable"),
        (no_right_to_a_secret, "SENDGRID_API_KEY cannot be read", "roles/secretmanager.secretAccessor"),
        (sendgrid_down, "SendGrid answers 503", "https://status.sendgrid.com"),
        (no_signing_key, "key 1 of CALLOUT_SIGNING_KEY", f"{SECRETS} CALLOUT_SIGNING_KEY"),
        (another_key_in_the_action, "signs with another key than the function has", "CALLOUT_SIGNING_KEY"),
        (no_action, "the tenant has no Action password-notice", "docs/deploy.md"),
        (not_bound, "is not bound to post-change-password", "auth0/bind.py"),
        (not_deployed, "was never deployed", "press Deploy"),
        (no_secrets_in_the_action, "the Action lacks the secret CALLOUT_SIGNING_KEY", "docs/deploy.md"),
        (another_url_in_the_action, "Auth0 ran the Action, and it failed", "FUNCTION_URL"),
        (old_token, "401 Invalid token", "docs/deploy.md"),
        (nobody_there, "nothing answers at http://127.0.0.1:1", "curl"),
    ],
)
def test_a_fault_is_found_and_its_fix_named(
    examine: Examine, deployment: Deployment, plant: Plant, says: str, fix: str
) -> None:
    plant(deployment)
    the_one(examine(), "fault", says, fix)


def test_deliver_failing_behind_the_queue_is_seen_and_the_sample_taken_back(
    examine: Examine, deployment: Deployment
) -> None:
    unverified_sender(deployment)
    the_one(examine("callout"), "fault", "deliver fails with on_execute_post_change_password", "gcloud logging read")
    assert deployment.emulator.cloud_tasks is not None
    assert deployment.emulator.cloud_tasks.tasks() == []


def test_a_queue_that_is_paused_is_told(
    examine: Examine, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout, "QUEUED_POLLS", 2)
    assert deployment.emulator.cloud_tasks is not None
    deployment.emulator.cloud_tasks.paused = True
    the_one(examine("callout"), "fault", "is not dispatched", "gcloud tasks queues")


# ---- what weakens, and stops nothing ----


def full_access(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key("mail.send", "api_keys.create", "mail.batch.read"))


def line_break(deployment: Deployment) -> None:
    deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key() + "\n")


def rotation(deployment: Deployment) -> None:
    deployment.emulator.keys.rotate_signing_key()


def changed_action(deployment: Deployment) -> None:
    deployment.tenant.actions[0]["all_changes_deployed"] = False


def single_sender(deployment: Deployment) -> None:
    deployment.records.clear()


def no_policy(deployment: Deployment) -> None:
    del deployment.records["_dmarc.example.com"]


def providers_address(deployment: Deployment) -> None:
    deployment.settings["SENDER_EMAIL"] = "team@gmail.com"
    deployment.emulator.sendgrid.verify("team@gmail.com")


@pytest.mark.parametrize(
    ("plant", "says", "fix"),
    [
        (full_access, "2 things more than mail.send", ROTATE),
        (line_break, "white space around it", f"{SECRETS} SENDGRID_API_KEY"),
        (rotation, "a rotation of the signing key is under way", "rotate-signing-key finish"),
        (changed_action, "has changes that are not deployed", "press Deploy"),
        (single_sender, "SendGrid does not sign for example.com", "Authenticate Your Domain"),
        (no_policy, "example.com has no DMARC policy", "v=DMARC1"),
        (providers_address, "single sender of a mail provider", "Authenticate Your Domain"),
    ],
)
def test_a_weakness_is_told_and_is_no_fault(
    examine: Examine, deployment: Deployment, plant: Plant, says: str, fix: str
) -> None:
    plant(deployment)
    findings = examine("secrets", "mail", "domain", "tenant")
    the_one(findings, "warning", says, fix)
    assert told(findings, "fault") == []


def test_a_policy_of_the_domain_above_counts(examine: Examine, deployment: Deployment) -> None:
    deployment.settings["SENDER_EMAIL"] = "security@mail.example.com"
    deployment.records["s2._domainkey.mail.example.com"] = ["s2.domainkey.u42.wl042.sendgrid.net."]
    assert "SendGrid signs for mail.example.com, and DMARC says p=reject" in " ".join(told(examine("domain"), "ok"))


def test_a_key_of_the_other_region_is_told_with_its_host(
    examine: Examine, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSendGrid(Journal()) as other:
        monkeypatch.setitem(sendgrid.OTHER_HOST, deployment.settings["SENDGRID_URL"], other.url)
        deployment.put_sendgrid_key(other.new_key())
        the_one(examine("mail"), "fault", "the key is not one of", f'SENDGRID_URL to "{other.url}"')


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_clock_that_is_off_is_found_and_what_is_signed_is_right_all_the_same(
    deployment: Deployment, seconds: float
) -> None:
    real = Clock()
    clock = Clock(lambda: real.now() + seconds, real.monotonic, real.sleep, real.random)
    values = deployment.settings
    case = CheckContext(values, load(env_file.mailing(values)), deployment.url, clock=clock)
    case.signing_key = deployment.emulator.keys.signing_key
    first, *rest = callout.check(case)
    assert (first.level, first.check) == ("fault", "clock")
    assert "ahead" in first.what if seconds > 0 else "behind" in first.what
    assert "timedatectl" in first.fix
    assert [finding.level for finding in rest] == ["ok"]


# ---- what answers at the address ----


@pytest.mark.parametrize(
    ("status", "says", "fix"),
    [
        (200, "takes a callout without a signature", "FUNCTION_URL"),
        (403, "it is not public", "./deploy.sh deploy"),
        (404, "not as the function does", "ingress"),
    ],
)
def test_what_is_not_the_function_is_told(
    examine: Examine, deployment: Deployment, status: int, says: str, fix: str
) -> None:
    app = Flask("another")
    app.add_url_rule("/", view_func=lambda: ("<html>Sign in</html>", status), methods=["POST"])
    with Server("another", app, Journal()) as another:
        deployment.url = another.url
        the_one(examine("callout"), "fault", says, fix)


def test_a_function_with_another_key_than_the_secret_is_told(examine: Examine, deployment: Deployment) -> None:
    with Emulator() as other:
        deployment.url = other.function.url
        the_one(examine("callout"), "fault", "401 invalid_signature", "./deploy.sh")


# ---- the program itself ----


def test_what_cannot_be_looked_at_is_a_note(
    examine: Examine, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTH0_TOKEN")
    deployment.url = ""
    said = " ".join(told(examine(), "note"))
    assert "the function was not called" in said
    assert "the tenant was not looked at" in said


def test_a_new_key_is_judged_from_standard_input(
    examine: Examine, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good, useless = deployment.emulator.sendgrid.new_key(), deployment.emulator.sendgrid.new_key("stats.read")
    for key, faults in ((good, 0), (useless, 1), ("SG.", 1)):
        (tmp_path / "key").write_text(f"{key}\n")
        with (tmp_path / "key").open() as given:
            monkeypatch.setattr("sys.stdin", given)
            assert len(told(examine("key"), "fault")) == faults


def test_the_faults_of_env_yaml_end_the_examination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text('SENDER_EMAIL: "nobody"\n')
    assert main([f"--env={tmp_path / 'env.yaml'}"]) == 1
    said = capsys.readouterr().out
    assert "fault   settings: SENDER_EMAIL is not one e-mail address" in said
    assert "fault   settings: SUPPORT_CONTACT is missing" in said
    assert "secrets" not in said


def test_quiet_says_only_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text('SENDER_EMAIL: "a@example.com"\nSUPPORT_CONTACT: "b@example.com"\n')
    assert main(["settings", "--quiet", f"--env={tmp_path / 'env.yaml'}"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_faults_of_json_are_those_of_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.yaml").write_text("")
    main(["settings", f"--env={tmp_path / 'env.yaml'}"])
    text = capsys.readouterr().out
    main(["settings", "--json", f"--env={tmp_path / 'env.yaml'}"])
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        assert f"{finding['what']}\n        why: {finding['why']}\n        fix: {finding['fix']}" in text


def test_an_unknown_check_shows_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["weather"])
    assert ended.value.code == 2
    assert "settings, secrets, mail, domain, callout, tenant" in capsys.readouterr().err
