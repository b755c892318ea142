"""The audit, run with what the deployment knows: SendGrid's region, the function's URL, and its signing key."""

import os
import subprocess
import sys
from argparse import Namespace

from audit.options import to_arguments
from deploy import keys, services
from deploy.deployment import Deployment
from deploy.gcloud import Gcloud
from deploy.secret_values import SIGNING


def audit(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> int:
    """Run the audit, and return its exit status. A variable that is set takes precedence over the deployment."""
    found = {"SENDGRID_URL": deployment.get("SENDGRID_URL")}
    if options.send and not os.environ.get("FUNCTION_URL"):
        found["FUNCTION_URL"] = services.require(gcloud, deployment, deployment.public).url
        keys.check_queue_is_empty(gcloud, deployment, "look missing and would be sent twice: fix what they wait for")
    if options.send and not os.environ.get(SIGNING):
        secret = f"--secret={deployment.secret_id(SIGNING)}"
        words = ("secrets", "versions", "access", deployment.secret_version(SIGNING), secret)
        found[SIGNING] = gcloud.read_existing(*words, parse=keys.signing_keys_of)[0]
    given = {name: value for name, value in os.environ.items() if value}
    command = [os.environ.get("PYTHON") or sys.executable, "-m", "audit", *to_arguments(options)]
    return subprocess.run(command, env={**found, **given}, check=False).returncode  # noqa: S603
