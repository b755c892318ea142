"""Run the doctor with the settings that a deployment gives the service that sends email."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy import project, services
from deploy.deployment import Deployment, env_yaml
from deploy.errors import DeployError
from deploy.gcloud import Gcloud


def examine(gcloud: Gcloud, deployment: Deployment, *words: str, value: str | None = None) -> int:
    """Run the doctor on the draft, or else on what receives traffic, and return its exit status.

    `words` are its checks and flags; `value` is its standard input. It reads secrets through Secret Manager, as the
    signed-in account.
    """
    settings = deployment.environment(deployment.services[0], "", mounted=False)
    if deployment.has_queue:
        settings += env_yaml({"TASKS_QUEUE": deployment.queue_path})
    found = services.find(gcloud, deployment, deployment.public)
    url = [] if found is None else [f"--url={found.draft_url if found.draft else found.url}"]
    if found:
        gcloud.say(f"checking {url[0].removeprefix('--url=')}")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "doctor.yaml")
        file.write_text(settings, "utf-8")
        command = [
            os.environ.get("PYTHON") or sys.executable,
            "-m",
            "doctor",
            *words,
            "--deployed",
            f"--env={file}",
            *url,
        ]
        environment = {**os.environ, "GOOGLE_ACCESS_TOKEN": project.access_token()}
        return subprocess.run(command, input=value, env=environment, text=True, check=False).returncode  # noqa: S603


def test(gcloud: Gcloud, deployment: Deployment) -> int:
    """Send a signed sample with `sandbox`: no email is sent."""
    if services.find(gcloud, deployment, deployment.public) is None:
        raise DeployError(f"{deployment.public} isn't deployed: ./deploy.sh")
    return examine(gcloud, deployment, "callout")
