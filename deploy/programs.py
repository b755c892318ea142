"""The doctor and the audit, run with what the deployment knows."""

import os
import subprocess
import sys
from argparse import Namespace

from audit.options import to_arguments
from deploy import checks, services
from deploy.deployment import SIGNING, Deployment
from deploy.gcloud import Gcloud, temporary_file
from deploy.secret_values import stored_signing_keys


def doctor(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> int:
    """Find what is wrong, and how to fix it."""
    return run_doctor(gcloud, deployment, *options.CHECK, *options.json)


def test(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> int:
    """Send a signed sample to the draft, or else to what receives traffic; no email is sent."""
    services.require(gcloud, deployment, deployment.public)
    return run_doctor(gcloud, deployment, "callout")


def run_doctor(gcloud: Gcloud, deployment: Deployment, *words: str, value: str | None = None) -> int:
    """Run the doctor with the settings of the service that sends email, and return its exit status.

    `words` are its checks and flags; `value` is its standard input. It reads secrets through Secret Manager, as the
    signed-in account.
    """
    environment = deployment.environment(deployment.services[0], mounted=False)
    environment |= {"TASKS_QUEUE": deployment.queue_path} if deployment.has_queue else {}
    found = services.find(gcloud, deployment, deployment.public)
    url = found and (found.draft_url if found.draft else found.url)
    if url:
        gcloud.say(f"checking {url}")
    with temporary_file(services.env_yaml(environment)) as path:
        arguments = ["--deployed", f"--env={path}", f"--url={url or ''}"]
        return _run("doctor", *words, *arguments, environment={"GOOGLE_ACCESS_TOKEN": gcloud.token}, value=value)


def audit(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> int:
    """Find password changes whose notice wasn't delivered: docs/audit.md.

    A variable that is set takes precedence over what the deployment knows.
    """
    found = {"SENDGRID_URL": deployment.get("SENDGRID_URL")}
    if options.send and not os.environ.get("FUNCTION_URL"):
        found["FUNCTION_URL"] = services.require(gcloud, deployment, deployment.public).url
        checks.queue_is_empty(gcloud, deployment, "would count as missing and be sent twice: fix what delays them")
    if options.send and not os.environ.get(SIGNING):
        found[SIGNING] = stored_signing_keys(gcloud, deployment)[0]
    given = {name: value for name, value in os.environ.items() if value}
    return _run("audit", *to_arguments(options), environment={**found, **given})


def _run(module: str, *arguments: str, environment: dict[str, str], value: str | None = None) -> int:
    command = [os.environ.get("PYTHON") or sys.executable, "-m", module, *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, input=value, env=environment, text=True, check=False).returncode  # noqa: S603
