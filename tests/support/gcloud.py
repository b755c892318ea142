"""Runs the real gcloud against fake services, without signing in or sending a request outside this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = "demo-proj"

needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud isn't on the PATH")


def environment(folder: Path, **endpoints: str) -> dict[str, str]:
    """Return the environment that points gcloud to `endpoints` (such as `secretmanager=URL`).

    gcloud keeps its files below `folder`. It sends the token file's text as the bearer token, without exchanging it.
    """
    config, token = folder / "gcloud", folder / "token"
    config.mkdir(exist_ok=True)
    token.write_text("invalid-token")
    settings = {
        "CONFIG": str(config),
        "AUTH_ACCESS_TOKEN_FILE": str(token),
        "CORE_PROJECT": PROJECT,
        "CORE_DISABLE_PROMPTS": "1",
        "CORE_DISABLE_USAGE_REPORTING": "1",
        "COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    }
    overrides = {f"API_ENDPOINT_OVERRIDES_{service.upper()}": f"{url}/" for service, url in endpoints.items()}
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**inherited, **{f"CLOUDSDK_{name}": value for name, value in (settings | overrides).items()}}


def gcloud(environment: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command (takes 1 to 1.6 s); the caller checks the return code."""
    command = ["gcloud", *arguments]
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, timeout=900, check=False
    )
