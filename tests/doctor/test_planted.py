"""Each planted misconfiguration is named with its fix, and the fix makes the doctor green again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import requests
from flask import Flask

from doctor import callout
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_run.service import PUBLIC, FakeCloudRun
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import QUEUE_NAME, SENDGRID_KEY, new_signing_key, queue_environment
from tests.auth0.management_api import FORWARDER, TENANT
from tests.doctor.conftest import VALID_DNS, Deployment, RunDoctor

NOWHERE = "http://127.0.0.1:1"
SAMPLE_ACTION = "exports.onExecutePostChangePassword = async (event, api) => {};\n"
STORE, ROTATE, DEPLOY = "./deploy.sh secret SENDGRID_API_KEY", "./deploy.sh rotate-sendgrid-key", "click Deploy"
Fix = Callable[[], object]


@dataclass(frozen=True)
class Planted:
    """What the doctor says about `plant`, which breaks a deployment and yields what fixes it."""

    plant: Callable[[Deployment], Iterator[Fix]]
    what: str
    fix: str
    level: str = "error"


# ---- SendGrid: the key, the sender, the account ----


def _store_key(deployment: Deployment, key: str) -> Iterator[Fix]:
    deployment.put_sendgrid_key(key)
    yield lambda: deployment.put_sendgrid_key(deployment.emulator.sendgrid.new_key())


def missing_key_scope(deployment: Deployment) -> Iterator[Fix]:
    return _store_key(deployment, deployment.emulator.sendgrid.new_key("stats.read"))


def quoted_key(deployment: Deployment) -> Iterator[Fix]:
    return _store_key(deployment, f'"{deployment.emulator.sendgrid.new_key()}"')


def trailing_newline(deployment: Deployment) -> Iterator[Fix]:
    return _store_key(deployment, f"{deployment.emulator.sendgrid.new_key()}\n")


def unauthenticated_subdomain(deployment: Deployment) -> Iterator[Fix]:
    deployment.settings["SENDER_EMAIL"] = "security@mail.example.com"
    deployment.records["s1._domainkey.mail.example.com"] = VALID_DNS["s1._domainkey.example.com"]
    yield lambda: deployment.emulator.sendgrid.verify("mail.example.com")
    deployment.emulator.sendgrid.unverify("mail.example.com")


def gmail_sender(deployment: Deployment) -> Iterator[Fix]:
    sender = deployment.settings["SENDER_EMAIL"]
    deployment.settings["SENDER_EMAIL"] = "team@gmail.com"
    deployment.emulator.sendgrid.verify("team@gmail.com")
    yield lambda: deployment.settings.update(SENDER_EMAIL=sender)


def unreachable_sendgrid(deployment: Deployment) -> Iterator[Fix]:
    return _set(deployment, "SENDGRID_URL", NOWHERE)


def login_page_instead_of_sendgrid(deployment: Deployment) -> Iterator[Fix]:
    portal = Flask("portal")
    portal.add_url_rule("/<path:path>", view_func=lambda path: "<html>Sign in to the network</html>")
    with Server("portal", portal, Journal()) as server:
        yield from _set(deployment, "SENDGRID_URL", server.url)


def exhausted_credits(deployment: Deployment) -> Iterator[Fix]:
    deployment.emulator.sendgrid.credits = 0
    yield lambda: setattr(deployment.emulator.sendgrid, "credits", 100)


# ---- Google Cloud: the secrets, the queue, the services ----


def _set(deployment: Deployment, name: str, value: str) -> Iterator[Fix]:
    previous = deployment.settings[name]
    deployment.settings[name] = value
    yield lambda: deployment.settings.update({name: previous})


def disabled_version(deployment: Deployment) -> Iterator[Fix]:
    deployment.emulator.secret_manager.disable(SENDGRID_KEY)
    yield lambda: deployment.emulator.secret_manager.enable(SENDGRID_KEY)


def missing_accessor_role(deployment: Deployment) -> Iterator[Fix]:
    deployment.emulator.secret_manager.deny(SENDGRID_KEY)
    yield lambda: deployment.emulator.secret_manager.deny(SENDGRID_KEY, denied=False)


def unreachable_secret_manager(deployment: Deployment) -> Iterator[Fix]:
    return _set(deployment, "SECRET_MANAGER_ENDPOINT", NOWHERE)


def paused_queue(deployment: Deployment) -> Iterator[Fix]:
    assert deployment.emulator.cloud_tasks is not None
    queue, polls = f"{deployment.emulator.cloud_tasks.url}/v2/{QUEUE_NAME}", callout.MAX_TASK_POLLS
    requests.post(f"{queue}:pause", timeout=20)
    deployment.patch.setattr(callout, "MAX_TASK_POLLS", 2)

    def resume() -> None:
        [_] = requests.get(f"{queue}/tasks", timeout=20).json()["tasks"]  # the Action's; the doctor deleted its own
        requests.post(f"{queue}:resume", timeout=20)
        deployment.patch.setattr(callout, "MAX_TASK_POLLS", polls)

    yield resume


@contextmanager
def _deployed_with(deployment: Deployment, deliver_url: str = "", **settings: str) -> Iterator[None]:
    """Replace the public service with one that has other settings."""
    emulator = deployment.emulator
    assert emulator.cloud_tasks is not None
    queue = queue_environment(deliver_url or emulator.services[0].url, emulator.cloud_tasks.url)
    environment = {**emulator.settings, **queue, **settings}
    source = PROJECT_ROOT / "main.py"
    with FakeCloudRun(Journal(), environment, keys=emulator.keys, target=PUBLIC, source=source) as service:
        deployment.url = service.url
        yield
    deployment.url = emulator.function.url


def wrong_deliver_url(deployment: Deployment) -> Iterator[Fix]:
    with _deployed_with(deployment, deployment.emulator.sendgrid.url):
        yield lambda: setattr(deployment, "url", deployment.emulator.function.url)


# ---- Auth0: the tenant and the Action ----


def tenants_domain_instead_of_its_name(deployment: Deployment) -> Iterator[Fix]:
    deployment.settings["ALLOWED_TENANTS"] = f"{TENANT}.eu.auth0.com"
    yield lambda: deployment.settings.update(ALLOWED_TENANTS=TENANT)


def another_tenant_allowed(deployment: Deployment) -> Iterator[Fix]:
    deployment.settings["ALLOWED_TENANTS"] = f"{TENANT}-dev"
    with _deployed_with(deployment, ALLOWED_TENANTS=f"{TENANT}-dev"):

        def deploy() -> None:
            deployment.settings["ALLOWED_TENANTS"] = f"{TENANT}-dev, {TENANT}"
            deployment.url = deployment.emulator.function.url

        yield deploy


def _save_and_deploy(deployment: Deployment, code: str = FORWARDER, **secrets: str) -> None:
    deployment.tenant.save(deployment.action, code, **secrets)
    deployment.tenant.deploy_draft(deployment.action)


def _deploy_secret(deployment: Deployment, name: str, value: str) -> Iterator[Fix]:
    correct = deployment.tenant.secrets[deployment.action["id"]][name]
    _save_and_deploy(deployment, **{name: value})
    yield lambda: _save_and_deploy(deployment, **{name: correct})


def url_without_https(deployment: Deployment) -> Iterator[Fix]:
    return _deploy_secret(deployment, "FUNCTION_URL", "http://password-notice.example.com")


def wrong_signing_key(deployment: Deployment) -> Iterator[Fix]:
    return _deploy_secret(deployment, "CALLOUT_SIGNING_KEY", new_signing_key())


def missing_action_secret(deployment: Deployment) -> Iterator[Fix]:
    action = deployment.action
    secrets = dict(deployment.tenant.secrets[action["id"]])
    action["secrets"] = [each for each in action["secrets"] if each["name"] == "FUNCTION_URL"]
    yield lambda: _save_and_deploy(deployment, **secrets)


def unbound_action(deployment: Deployment) -> Iterator[Fix]:
    deployment.tenant.bindings.clear()
    yield lambda: deployment.tenant.bind("password-notice")


def action_never_deployed(deployment: Deployment) -> Iterator[Fix]:
    del deployment.action["deployed_version"]
    yield lambda: deployment.tenant.deploy_draft(deployment.action)


def another_action_code(deployment: Deployment) -> Iterator[Fix]:
    _save_and_deploy(deployment, SAMPLE_ACTION)
    yield lambda: _save_and_deploy(deployment)


def code_saved_but_not_deployed(deployment: Deployment) -> Iterator[Fix]:
    _save_and_deploy(deployment, SAMPLE_ACTION)
    deployment.tenant.save(deployment.action, FORWARDER)
    yield lambda: deployment.tenant.deploy_draft(deployment.action)


def secret_saved_but_not_deployed(deployment: Deployment) -> Iterator[Fix]:
    """Save the right key in the draft, which Auth0's test runs, but deploy a wrong one."""
    tenant, action = deployment.tenant, deployment.action
    [_] = _deploy_secret(deployment, "CALLOUT_SIGNING_KEY", new_signing_key())
    tenant.save(action, CALLOUT_SIGNING_KEY=deployment.emulator.keys.signing_key)
    yield lambda: tenant.deploy_draft(action)


def no_network_to_auth0(deployment: Deployment) -> Iterator[Fix]:
    domain = deployment.tenant.domain
    deployment.patch.setenv("AUTH0_DOMAIN", "localhost:1")
    yield lambda: deployment.patch.setenv("AUTH0_DOMAIN", domain)


PLANTED = [
    Planted(missing_key_scope, "the key lacks the permission mail.send", ROTATE),
    Planted(quoted_key, "SENDGRID_API_KEY is malformed", STORE),
    Planted(trailing_newline, "surrounded by whitespace, such as a trailing newline", STORE, "warning"),
    Planted(unauthenticated_subdomain, "does not match a verified Sender Identity", "Verify SENDER_EMAIL"),
    Planted(gmail_sender, "is an address at an email provider", "set SENDER_EMAIL to an address in it", "warning"),
    Planted(unreachable_sendgrid, f"no response from {NOWHERE}", "check SENDGRID_URL"),
    Planted(login_page_instead_of_sendgrid, "didn't respond as SendGrid does", "check SENDGRID_URL"),
    Planted(exhausted_credits, "Maximum credits exceeded", "upgrade the plan, or wait until the credits are reset"),
    Planted(disabled_version, "is in DISABLED state", "gcloud secrets versions enable"),
    Planted(missing_accessor_role, "403 Permission", "roles/secretmanager.secretAccessor"),
    Planted(unreachable_secret_manager, "no response (ConnectionError)", "so don't replace it"),
    Planted(
        paused_queue,
        "isn't dispatched",
        "gcloud tasks queues resume password-notice --location=europe-west1 --project=emulator",
    ),
    Planted(wrong_deliver_url, "deliver failed to run on_execute_post_change_password", "./deploy.sh"),
    Planted(
        tenants_domain_instead_of_its_name,
        "contains 'acme.eu.auth0.com', which isn't the name of a tenant",
        "acme for acme.eu.auth0.com",
    ),
    Planted(another_tenant_allowed, "doesn't contain the tenant acme", 'add "acme" to ALLOWED_TENANTS in env.yaml'),
    Planted(url_without_https, "FUNCTION_URL must be an https URL", "check the Action's secret FUNCTION_URL"),
    Planted(wrong_signing_key, "the function rejected the Action's callout", "copy the key into the Action's secret"),
    Planted(missing_action_secret, "is missing the secret CALLOUT_SIGNING_KEY", "add it in the Action's editor"),
    Planted(unbound_action, "isn't bound to post-change-password", "python3 auth0/bind.py"),
    Planted(action_never_deployed, "has never been deployed", DEPLOY),
    Planted(another_action_code, "isn't that of auth0/action.js", "replace the Action's code with auth0/action.js"),
    Planted(code_saved_but_not_deployed, "saved but not deployed: the code", DEPLOY),
    Planted(secret_saved_but_not_deployed, "saved but not deployed: CALLOUT_SIGNING_KEY", DEPLOY),
    Planted(no_network_to_auth0, "no response from localhost:1", "this machine's internet access"),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.plant.__name__)
def test_a_planted_misconfiguration_is_named_and_its_fix_resolves_it(
    run_doctor: RunDoctor, deployment: Deployment, planted: Planted
) -> None:
    for fix in planted.plant(deployment):
        named = [each for each in run_doctor() if planted.what in each["what"] and planted.fix in each["fix"]]
        assert {each["level"] for each in named} == {planted.level}
        fix()
        assert [each for each in run_doctor() if each["level"] != "ok"] == []
