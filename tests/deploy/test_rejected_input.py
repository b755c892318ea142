"""What deploy.sh rejects before it changes anything, and the fix that it names."""

import pytest

from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY, Bench

BROKEN = """\
SENDER_EMAIL: "nobody"
CONTEXT: "time,weather"
SENDGRID_URL: "http://api.sendgrid.com"
SECRETS: "somewhere"
"""


def test_every_error_in_env_yaml_is_reported_at_once(bench: Bench) -> None:
    bench.env_yaml(BROKEN)
    output = bench.fail()
    for name in ("SENDER_EMAIL", "SUPPORT_CONTACT", "CONTEXT", "SENDGRID_URL", "SECRETS"):
        assert f"\n  {name} " in output


def test_an_invalid_line_is_reported_with_its_number(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "NESTED:\n  - list\nSENDER_EMAIL: again@example.com\n")
    output = bench.fail()
    assert "line 3 isn't a name with one value" in output
    assert "SENDER_EMAIL appears twice, again in line 5" in output


@pytest.mark.parametrize("name", ["SENDGRID_URL", "SECRET_MANAGER_ENDPOINT", "CLOUD_TASKS_ENDPOINT"])
def test_an_endpoint_that_is_not_https_is_rejected(bench: Bench, name: str) -> None:
    bench.env_yaml(f'{ENV_YAML}{name}: "http://127.0.0.1:8080"\n')
    assert f"{name} isn't https" in bench.fail()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("THREADS: many", "THREADS"),
        ("MIN_INSTANCES: 20", "MIN_INSTANCES is above MAX_INSTANCES"),
        ("REGION: Belgium", "REGION"),
        ("DELIVERY: both", "DELIVERY is 'both'"),
        ('GOOGLE_CLOUD_PROJECT: "my project"', "GOOGLE_CLOUD_PROJECT is 'my project'"),
        ("SERVICE: Notice_1", "SERVICE"),
        ("SENDGRID_API_KEY_SECRET: /secrets/key", "SENDGRID_API_KEY_SECRET isn't projects/P/secrets/S"),
        ('SENDGRID_API_KEY_SECRET: "projects/other/secrets/key"', "SENDGRID_API_KEY_SECRET"),
    ],
)
def test_a_setting_of_the_deployment_itself_is_validated(bench: Bench, line: str, named: str) -> None:
    bench.env_yaml(f"{ENV_YAML}{line}\n")
    assert named in bench.fail()


def test_a_missing_env_yaml_is_reported_with_how_to_create_it(bench: Bench) -> None:
    (bench.folder / "env.yaml").unlink()
    assert "env.yaml.example" in bench.fail()


def test_without_a_project_nothing_is_changed(bench: Bench) -> None:
    bench.cloud.project = ""
    assert "gcloud config set project" in bench.fail()


def test_a_missing_sign_in_is_reported(bench: Bench) -> None:
    bench.cloud.signed_in = False
    assert "gcloud auth login" in bench.fail()


def test_an_account_that_cannot_see_the_project_is_named(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "GOOGLE_CLOUD_PROJECT: other-proj\n")
    output = bench.fail()
    assert "person@example.com can't see the project other-proj" in output
    assert "gcloud config set account" in output


def test_a_project_without_billing_is_reported_with_the_page(bench: Bench) -> None:
    bench.cloud.billing = False
    assert "console.cloud.google.com/billing" in bench.fail()


def test_missing_permissions_are_reported_at_once_with_their_roles(bench: Bench) -> None:
    bench.missing |= {"secretmanager.secrets.create", "run.services.setIamPolicy"}
    output = bench.fail()
    assert "roles/secretmanager.admin" in output
    assert "roles/run.admin" in output


def test_deploying_alone_needs_no_permissions_of_the_setup(bench: Bench) -> None:
    bench.set_up()
    bench.missing |= {"secretmanager.secrets.create"}
    assert [change.words[1] for change in bench.succeed("deploy")] == ["deploy", "services", "deploy", "services"]
    assert "secretmanager.secrets.create" in bench.fail("setup")


def test_a_region_without_the_product_is_reported_with_those_that_have_it(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "REGION: moon-north1\n")
    done = bench()
    assert done.returncode == 1
    assert "europe-west1 us-central1" in done.stderr
    assert [change.words[:2] for change in bench.gcloud.changes] == [("services", "enable")]


def test_two_policies_that_forbid_every_public_service_are_found_first(bench: Bench) -> None:
    bench.cloud.policies |= {
        "iam.allowedPolicyMemberDomains": {"allowedValues": ["C0123abc"]},
        "run.managed.requireInvokerIam": {"enforce": True},
    }
    output = bench.fail()
    assert "run.managed.requireInvokerIam" in output
    assert "API gateway" in output


def test_a_missing_sendgrid_key_is_asked_for_before_anything_is_deployed(bench: Bench) -> None:
    done = bench()
    assert done.returncode == 1
    assert "./deploy.sh secret SENDGRID_API_KEY" in done.stderr
    assert bench.cloud.services == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENDGRID_API_KEY", "SG.short"),
        ("SENDGRID_API_KEY", f"{SENDGRID_KEY} {SENDGRID_KEY}"),
        ("SENDGRID_API_KEY", ""),
        ("CALLOUT_SIGNING_KEY", "whsec_short"),
        ("CALLOUT_SIGNING_KEY", "secret"),
        ("CHAT_TOKEN", ""),
    ],
)
def test_an_invalid_value_is_not_stored(bench: Bench, name: str, value: str) -> None:
    output = bench.fail("secret", name, given=value)
    assert "nothing was stored" in output
    assert not value or value not in output


@pytest.mark.parametrize("name", ["", "key one", "1key"])
def test_a_secret_needs_a_name(bench: Bench, name: str) -> None:
    assert "which secret?" in bench.fail("secret", name, given="x")


def test_an_undeclared_secret_is_reported(bench: Bench) -> None:
    done = bench("secret", "CHAT_TOKEN", given="x")
    assert 'CHAT_TOKEN_SECRET: "projects/demo-proj/secrets/chat-token"' in done.stderr


def test_a_step_that_always_fails_stops_the_run(bench: Bench) -> None:
    bench.gcloud.failures["iam service-accounts create password-notice-builder"] = "quota exceeded"
    done = bench()
    assert done.returncode == 1
    assert "quota exceeded" in done.stderr
    assert "this command failed: gcloud iam service-accounts create" in done.stderr
    assert bench.cloud.secrets == {}


def test_a_failed_deployment_stops_the_run(bench: Bench) -> None:
    bench.gcloud.failures["run deploy password-notice-deliver"] = "build failed"
    bench.succeed("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    assert bench().returncode == 1
    assert bench.cloud.services == {}
