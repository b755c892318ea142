"""Store and rotate keys, in an order in which no notice is lost."""

from argparse import Namespace

from deploy import checks, programs, setup
from deploy.deployment import SENDGRID, SIGNING, Deployment
from deploy.gcloud import DeployError, Gcloud, base_name
from deploy.resources import enabled_apis, version
from deploy.secret_values import enabled_version, new_signing_key, read_value, stored_signing_keys


def secret(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Store the value of the Action secret NAME, from standard input."""
    name = options.NAME.upper().replace("-", "_")
    if not name.isidentifier() or not name[0].isalpha() or not name.isascii():
        raise DeployError("which secret? For example: ./deploy.sh secret SENDGRID_API_KEY")
    _create_and_store(gcloud, deployment, name, read_value(name))
    if name not in deployment.secrets:
        path = f"projects/{deployment.project}/secrets/{deployment.secret_id(name)}"
        gcloud.say(f'declare it in {deployment.file}, and deploy: {name}_SECRET: "{path}"')


def _create_and_store(gcloud: Gcloud, deployment: Deployment, name: str, value: str) -> None:
    setup.apply(gcloud, deployment, [setup.require_secret(deployment, name)], enabled_apis(gcloud))
    _store(gcloud, deployment, name, value)


def _store(gcloud: Gcloud, deployment: Deployment, name: str, value: str) -> None:
    """Add a version. The value goes to standard input, not into an argument, an environment variable, or the log."""
    gcloud.write(*setup.add_version(deployment, name), value=value)


def rotate_signing_key(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Add a new signing key next to the old one; with finish, once Auth0 has it: keep only the new one."""
    _reject_pinned(deployment, SIGNING)
    stored = stored_signing_keys(gcloud, deployment)
    if options.finish:
        _finish_signing_key(gcloud, deployment, stored)
        return
    if len(stored) == 1:
        _store(gcloud, deployment, SIGNING, f"{new_signing_key()}\n{stored[0]}")
    print_key = f"gcloud secrets versions access latest --secret={deployment.secret_id(SIGNING)}"
    gcloud.say(
        "The function accepts the old key and a new one from now on. Next:",
        "1. Put the new key into the Action's secret CALLOUT_SIGNING_KEY, and deploy the Action. This prints the key:",
        f"   {print_key} --project={gcloud.project} | head -n 1",
        "2. ./deploy.sh doctor    (with access to Auth0, the Action itself calls the function: docs/deploy.md)",
        "3. ./deploy.sh rotate-signing-key finish",
    )


def _finish_signing_key(gcloud: Gcloud, deployment: Deployment, stored: list[str]) -> None:
    old = _old_versions(gcloud, deployment, SIGNING)
    if len(stored) == 1 and not old:
        raise DeployError("no rotation is in progress: ./deploy.sh rotate-signing-key")
    if len(stored) > 1:
        checks.queue_is_empty(gcloud, deployment, "may be signed with the old key: try again later")
        _store(gcloud, deployment, SIGNING, stored[0])
        old = _old_versions(gcloud, deployment, SIGNING)
    _disable(gcloud, deployment, SIGNING, old)
    gcloud.say("Within five minutes, only the new key is accepted.")


def rotate_sendgrid_key(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Check and store a new key from standard input; with finish, once it works: disable the old ones."""
    _reject_pinned(deployment, SENDGRID)
    if options.finish:
        old = _old_versions(gcloud, deployment, SENDGRID)
        _disable(gcloud, deployment, SENDGRID, old)
        gcloud.say(f"{len(old)} old versions were disabled." if old else "There was no old version left to disable.")
        return
    value = read_value(SENDGRID)
    if programs.run_doctor(gcloud, deployment, "key", value=value) != 0:
        raise DeployError("the new key doesn't work, and nothing was stored")
    _create_and_store(gcloud, deployment, SENDGRID, value)
    gcloud.say(
        "The function uses the new key within five minutes. Then:",
        "1. ./deploy.sh test",
        "2. Delete the old key in SendGrid: https://app.sendgrid.com/settings/api_keys",
        "3. ./deploy.sh rotate-sendgrid-key finish",
    )


def _reject_pinned(deployment: Deployment, name: str) -> None:
    if deployment.secret_version(name) != "latest":
        fix = f"remove /versions/{deployment.secret_version(name)} from {name}_SECRET in {deployment.file}, and deploy"
        raise DeployError("a secret with a fixed version can't be rotated", fix)


def _old_versions(gcloud: Gcloud, deployment: Deployment, name: str) -> list[str]:
    """Return the enabled versions before the latest one, which must be enabled itself."""
    words = version(deployment, name).command("describe")
    latest = gcloud.read(*words, parse=lambda found: enabled_version(deployment, name, found))
    if latest is None:
        raise DeployError(f"the secret {deployment.secret_id(name)} has no value yet: ./deploy.sh secret {name}")
    words = ("secrets", "versions", "list", deployment.secret_id(name), "--filter=state=ENABLED")
    enabled = gcloud.read_list(*words, parse=base_name)
    return [number for number in enabled if number != latest]


def _disable(gcloud: Gcloud, deployment: Deployment, name: str, versions: list[str]) -> None:
    for number in versions:
        gcloud.write(*version(deployment, name, number).command("disable"))
