"""Restrictive organizations: their policies, deployers with few permissions, and grants that take effect late."""

from pathlib import Path

import pytest

from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY
from tests.deploy.fake_gcloud import PROJECT, Cloud
from tests.deploy.inside import Inside

DISABLED = "PERMISSION_DENIED: Cloud Run Admin API has not been used in project demo-proj before or it is disabled."


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(tmp_path, monkeypatch, capsys)


def with_key(inside: Inside, cloud: Cloud | None = None) -> Cloud:
    return inside.succeed(cloud or Cloud(), "secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)


def test_limited_locations_are_found_before_anything_is_created(inside: Inside) -> None:
    cloud = Cloud(policies={"gcp.resourceLocations": {"allowedValues": ["in:eu-locations"]}})
    outcome = inside.run(cloud, "setup")
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert 'REPLICATION: "user-managed"' in outcome.output


def test_limited_locations_stop_the_first_secret_too(inside: Inside) -> None:
    cloud = Cloud(policies={"gcp.resourceLocations": {"allowedValues": ["in:eu-locations"]}})
    outcome = inside.run(cloud, "secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    assert (outcome.status, outcome.gcloud.changes) == (1, [])


def test_secrets_can_be_in_the_region_only(inside: Inside) -> None:
    inside.env_yaml = f"{ENV_YAML}REPLICATION: user-managed\n"
    cloud = Cloud(policies={"gcp.resourceLocations": {"allowedValues": ["in:eu-locations"]}})
    outcome = inside.run(with_key(inside, cloud), "setup")
    [made] = [change for change in outcome.gcloud.changes if change.words[:2] == ("secrets", "create")]
    assert (made.flags["replication-policy"], made.flags["locations"]) == ("user-managed", "europe-west1")


def test_a_managed_policy_without_all_users_disables_the_invoker_check(inside: Inside) -> None:
    cloud = with_key(inside)
    cloud.policies["iam.managed.allowedPolicyMembers"] = {"enforce": True, "parameters": {"allowedPrincipalSets": []}}
    after = inside.succeed(cloud)
    assert after.services["password-notice"].check_off
    assert "allUsers" not in {member for _, _, member in after.grants}


def test_a_managed_policy_may_allow_all_users(inside: Inside) -> None:
    cloud = with_key(inside)
    rule = {"enforce": True, "parameters": {"allowedMemberSubjects": ["allUsers"]}}
    cloud.policies["iam.managed.allowedPolicyMembers"] = rule
    assert "allUsers" in {member for _, _, member in inside.succeed(cloud).grants}


def test_a_managed_policy_and_the_invoker_check_forbid_a_public_service(inside: Inside) -> None:
    cloud = with_key(inside)
    cloud.policies["iam.managed.allowedPolicyMembers"] = {"enforce": True}
    cloud.policies["run.managed.requireInvokerIam"] = {"enforce": True}
    outcome = inside.run(cloud)
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert "iam.managed.allowedPolicyMembers" in outcome.output


def test_a_binding_that_fails_for_another_reason_does_not_disable_the_check(inside: Inside) -> None:
    cloud = with_key(inside)
    outcome = inside.run(cloud, failures={"run services add-iam-policy-binding password-notice": "ABORTED: try again"})
    assert outcome.status == 1
    assert not outcome.gcloud.cloud.services["password-notice"].check_off


@pytest.mark.parametrize(
    "message",
    [
        "PERMISSION_DENIED: Build failed because the build service account is missing required IAM permissions.",
        "INVALID_ARGUMENT: x@demo-proj.iam.gserviceaccount.com does not have storage.objects.get access to the object.",
        "Permission denied on secret: projects/1/secrets/callout-signing-key/versions/latest for the account",
        "Permission 'iam.serviceaccounts.actAs' denied on service account x (or it may not exist).",
    ],
)
def test_a_build_whose_grant_is_not_known_yet_is_retried(inside: Inside, message: str) -> None:
    outcome = inside.run(with_key(inside), failures_once={"run deploy password-notice-deliver": message})
    assert outcome.status == 0, outcome.output
    assert "retrying" in outcome.output


def test_a_build_that_fails_for_another_reason_is_not_retried(inside: Inside) -> None:
    outcome = inside.run(with_key(inside), failures={"run deploy password-notice-deliver": "Build failed; check logs"})
    assert outcome.status == 1
    assert sum(command.words[:2] == ("run", "deploy") for command in outcome.gcloud.commands) == 1


def test_retries_are_bounded(inside: Inside) -> None:
    outcome = inside.run(with_key(inside), failures={"run deploy password-notice-deliver": "PERMISSION_DENIED: no"})
    assert outcome.status == 1
    assert sum(command.words[:2] == ("run", "deploy") for command in outcome.gcloud.commands) == 5


def test_an_api_that_was_just_enabled_is_retried(inside: Inside) -> None:
    outcome = inside.run(Cloud(), "setup", failures_once={"run regions list": DISABLED})
    assert "the secret SENDGRID_API_KEY has no value yet" in outcome.output


def test_the_resource_manager_is_enabled_for_service_accounts(inside: Inside) -> None:
    assert "cloudresourcemanager.googleapis.com" in with_key(inside).apis


def test_a_service_account_is_asked_for_as_one(inside: Inside) -> None:
    inside.missing = {"run.services.update"}
    cloud = Cloud(account=f"ci@{PROJECT}.iam.gserviceaccount.com", apis={"run.googleapis.com"})
    outcome = inside.run(cloud, "draft")
    assert outcome.status == 1
    assert (
        f"--member=serviceAccount:ci@{PROJECT}.iam.gserviceaccount.com --role=roles/run.sourceDeveloper"
        in outcome.output
    )


@pytest.mark.parametrize("command", ["deploy", "draft"])
def test_a_source_developer_who_may_act_as_the_accounts_can_deploy(inside: Inside, command: str) -> None:
    cloud = inside.succeed(with_key(inside))
    inside.granted = {"run.services.update", "iam.serviceAccounts.actAs"}
    inside.succeed(cloud, command)


def test_acting_as_an_account_may_be_granted_on_the_accounts(inside: Inside) -> None:
    cloud = inside.succeed(with_key(inside))
    inside.missing_in_project = {"iam.serviceAccounts.actAs"}
    inside.succeed(cloud, "deploy")
    inside.missing = {"iam.serviceAccounts.actAs"}
    assert "roles/iam.serviceAccountUser" in inside.run(cloud, "deploy").output


def test_direct_mode_needs_no_permission_for_a_queue(inside: Inside) -> None:
    inside.env_yaml = f"{ENV_YAML}DELIVERY: direct\n"
    inside.missing = {"cloudtasks.queues.create", "cloudtasks.queues.setIamPolicy"}
    inside.succeed(with_key(inside))


def test_the_ingress_stays_as_env_yaml_says(inside: Inside) -> None:
    inside.env_yaml = f"{ENV_YAML}INGRESS: internal-and-cloud-load-balancing\n"
    cloud = inside.succeed(inside.succeed(with_key(inside)), "deploy")
    flags = [revision["flags"]["ingress"] for revision in cloud.services["password-notice"].revisions]
    assert flags == ["internal-and-cloud-load-balancing"] * 2
    private = cloud.services["password-notice-deliver"].revisions
    assert {revision["flags"]["ingress"] for revision in private} == {"internal"}
