"""The real gcloud against stand-ins: nobody logs in, nothing outside this machine is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = "demo-proj"

needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on the PATH")


def environment(folder: Path, **endpoints: str) -> dict[str, str]:
    """What gcloud needs to talk to `endpoints` (such as `secretmanager=URL`); its own files go below `folder`.

    The token file's text becomes the bearer token as it stands; no token is exchanged.
    """
    config, token = folder / "gcloud", folder / "token"
    config.mkdir(exist_ok=True)
    token.write_text("a-token-of-no-value")
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


def gcloud(environment: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs one command (1 to 1.6 s) to its end; the caller judges the return code."""
    command = ["gcloud", *words]
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
