"""deploy.sh with a gcloud that only records what it is asked to do: what it sets up, and with which permissions."""

import re
import shlex
from collections.abc import Sequence

from deploy.__main__ import COMMANDS
from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY, SOURCE, Bench
from tests.deploy.fake_gcloud import Command

PUBLIC, DELIVER = "password-notice", "password-notice-deliver"
SERVICE_ACCOUNT = "serviceAccount:{}@demo-proj.iam.gserviceaccount.com"
DOMAINS = {"allowedValues": ["C0123abc"]}
READS_SECRETS = "roles/secretmanager.secretAccessor"


def who(name: str) -> str:
    return SERVICE_ACCOUNT.format(name)


def deployment(changes: Sequence[Command], service: str) -> Command:
    [found] = [change for change in changes if change.words == ("run", "deploy", service)]
    return found


def environment(command: Command) -> dict[str, str]:
    return dict(re.findall(r'(?m)^([A-Z_]+): "(.*)"$', command.environment))


def test_help_names_every_command(bench: Bench) -> None:
    output = bench("help").stdout
    assert len(COMMANDS) > 10
    assert [name for name in COMMANDS if not re.search(rf"^    {name}(?= |$)", output, re.MULTILINE)] == []


def test_an_unknown_command_shows_the_known_ones(bench: Bench) -> None:
    done = bench("depploy")
    assert done.returncode == 2
    assert "promote" in done.stderr
    assert bench.gcloud.commands == []


def test_a_plan_is_what_a_first_run_does(bench: Bench) -> None:
    planned = [line for line in bench("plan").stdout.splitlines() if not line.startswith("#")]
    assert bench.gcloud.changes == []
    assert [command.words for command in bench.gcloud.commands] == [("config", "get", "project")]
    bench.set_up()
    done = ["gcloud " + " ".join(change.line) for change in bench.gcloud.changes]
    assert sorted(map(plain, planned)) == sorted(set(map(plain, done)))


def plain(line: str) -> str:
    """Return a command's line without what differs from run to run."""
    line = " ".join(shlex.split(line)) if "'" in line else line
    return re.sub(r"/tmp/\S+?/|deployment=[0-9-]+", "", line)


def test_queue_mode_grants_only_what_is_needed(bench: Bench) -> None:
    bench.set_up()
    assert bench.cloud.grants == {
        ("secrets/callout-signing-key", READS_SECRETS, who(PUBLIC)),
        ("secrets/callout-signing-key", READS_SECRETS, who(DELIVER)),
        ("secrets/sendgrid-api-key", READS_SECRETS, who(DELIVER)),
        ("tasks/queues/password-notice", "roles/cloudtasks.enqueuer", who(PUBLIC)),
        (
            "iam/service-accounts/password-notice-invoker@demo-proj.iam.gserviceaccount.com",
            "roles/iam.serviceAccountUser",
            who(PUBLIC),
        ),
        ("run/services/password-notice-deliver", "roles/run.invoker", who("password-notice-invoker")),
        ("run/services/password-notice", "roles/run.invoker", "allUsers"),
        ("projects/demo-proj", "roles/run.builder", who("password-notice-builder")),
    }


def test_direct_mode_is_one_service_with_one_account(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "DELIVERY: direct\n")
    changes = bench.set_up()
    assert set(bench.cloud.services) == {PUBLIC}
    assert bench.cloud.queues == {}
    assert "cloudtasks.googleapis.com" not in bench.cloud.apis
    assert {name.partition("@")[0] for name in bench.cloud.accounts} == {PUBLIC, "password-notice-builder"}
    assert {(resource, member) for resource, _, member in bench.cloud.grants} == {
        ("secrets/callout-signing-key", who(PUBLIC)),
        ("secrets/sendgrid-api-key", who(PUBLIC)),
        ("run/services/password-notice", "allUsers"),
        ("projects/demo-proj", who("password-notice-builder")),
    }
    settings = environment(deployment(changes, PUBLIC))
    assert settings["DELIVERY"] == "direct"
    assert settings["SENDGRID_API_KEY_SECRET"] == "/secrets/sendgrid-api-key/value"
    assert "TASKS_QUEUE" not in settings


def test_changing_from_direct_to_queue_revokes_the_public_services_access_to_the_key(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "DELIVERY: direct\n")
    bench.set_up()
    bench.env_yaml(ENV_YAML)
    bench.succeed()
    readers = {member for resource, _, member in bench.cloud.grants if resource == "secrets/sendgrid-api-key"}
    assert readers == {who(DELIVER)}


def test_only_deliver_knows_where_sendgrids_key_is(bench: Bench) -> None:
    changes = bench.set_up()
    public, private = deployment(changes, PUBLIC), deployment(changes, DELIVER)
    assert public.flags["set-secrets"] == "/secrets/callout-signing-key/value=callout-signing-key:latest"
    assert "SENDGRID" not in public.environment.upper()
    assert private.flags["set-secrets"].count("sendgrid-api-key:latest") == 1
    assert environment(private)["SENDGRID_API_KEY_SECRET"] == "/secrets/sendgrid-api-key/value"


def test_the_public_service_enqueues_tasks_for_deliver_as_the_invoker(bench: Bench) -> None:
    settings = environment(deployment(bench.set_up(), PUBLIC))
    assert settings["DELIVERY"] == "queue"
    assert settings["TASKS_QUEUE"] == "projects/demo-proj/locations/europe-west1/queues/password-notice"
    assert settings["DELIVER_URL"] == "https://password-notice-deliver-x.a.run.app"
    assert settings["DELIVER_INVOKER"] == "password-notice-invoker@demo-proj.iam.gserviceaccount.com"
    assert settings["GOOGLE_CLOUD_PROJECT"] == "demo-proj"


def test_both_services_have_the_same_source_and_their_own_names_and_accounts(bench: Bench) -> None:
    changes = bench.set_up()
    public, private = deployment(changes, PUBLIC), deployment(changes, DELIVER)
    assert (public.flags["function"], private.flags["function"]) == ("on_execute_post_change_password", "deliver")
    assert public.flags["source"] == private.flags["source"] == "."
    assert public.flags["service-account"] == who(PUBLIC).partition(":")[2]
    assert private.flags["service-account"] == who(DELIVER).partition(":")[2]
    builder = "projects/demo-proj/serviceAccounts/password-notice-builder@demo-proj.iam.gserviceaccount.com"
    assert public.flags["build-service-account"] == private.flags["build-service-account"] == builder


def test_deliver_is_private_by_iam_and_by_ingress(bench: Bench) -> None:
    private = deployment(bench.set_up(), DELIVER)
    assert {"no-allow-unauthenticated", "invoker-iam-check"} <= set(private.flags)
    assert private.flags["ingress"] == "internal"


def test_the_concurrency_is_the_number_of_threads(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "THREADS: 24\n")
    for service in (PUBLIC, DELIVER):
        command = deployment(bench.gcloud.changes or bench.set_up(), service)
        assert command.flags["concurrency"] == environment(command)["THREADS"] == "24"


def test_a_deployment_sets_the_number_of_instances_and_the_timeout(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "MIN_INSTANCES: 1\nMAX_INSTANCES: 3\n")
    changes = bench.set_up()
    public, private = deployment(changes, PUBLIC).flags, deployment(changes, DELIVER).flags
    assert (public["min"], public["max-instances"]) == ("1", "3")
    assert "cpu-boost" in public
    assert (public["timeout"], private["timeout"]) == ("15s", "60s")
    assert public["labels"].startswith("app=password-notice,deployment=")


def test_deploy_shs_own_settings_are_not_in_the_functions_environment(bench: Bench) -> None:
    own = "SERVICE: password-notice\nREGION: europe-west1\nSECRETS: mounted\nMIN_INSTANCES: 0\nMAX_INSTANCES: 5\n"
    bench.env_yaml(ENV_YAML + own)
    assert not {"SERVICE", "REGION", "SECRETS", "MIN_INSTANCES", "MAX_INSTANCES"} & set(
        environment(deployment(bench.set_up(), PUBLIC))
    )


def test_the_client_can_read_the_secrets_instead(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "SECRETS: client\n")
    private = deployment(bench.set_up(), DELIVER)
    assert "clear-secrets" in private.flags
    expected = "projects/demo-proj/secrets/sendgrid-api-key/versions/latest"
    assert environment(private)["SENDGRID_API_KEY_SECRET"] == expected


def test_an_additional_secret_is_mounted_where_actions_run(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + 'CHAT_TOKEN_SECRET: "projects/demo-proj/secrets/chat-token/versions/1"\n')
    bench.succeed("secret", "CHAT_TOKEN", given="a-chat-token")
    changes = bench.set_up()
    private = deployment(changes, DELIVER)
    assert "/secrets/chat-token/value=chat-token:1" in private.flags["set-secrets"]
    assert environment(private)["CHAT_TOKEN_SECRET"] == "/secrets/chat-token/value"
    assert "CHAT_TOKEN_SECRET" not in environment(deployment(changes, PUBLIC))
    assert ("secrets/chat-token", READS_SECRETS, who(DELIVER)) in bench.cloud.grants
    assert ("secrets/chat-token", READS_SECRETS, who(PUBLIC)) not in bench.cloud.grants


def test_the_queue_retries_without_a_limit(bench: Bench) -> None:
    bench.set_up()
    assert bench.cloud.queues["password-notice"] == {
        "max-attempts": "unlimited",
        "min-backoff": "10s",
        "max-backoff": "3600s",
        "max-doublings": "16",
        "max-retry-duration": "0s",
    }


def test_a_queue_with_other_settings_is_updated(bench: Bench) -> None:
    bench.set_up()
    bench.cloud.queues["password-notice"]["max-attempts"] = "100"
    assert [change.words[:3] for change in bench.succeed("setup")] == [("tasks", "queues", "update")]
    assert bench.cloud.queues["password-notice"]["max-attempts"] == "unlimited"


def test_a_paused_queue_is_reported(bench: Bench) -> None:
    bench.set_up()
    bench.cloud.queues["password-notice"]["state"] = "PAUSED"
    assert "gcloud tasks queues resume password-notice" in bench("setup").stderr


def test_a_second_setup_changes_nothing(bench: Bench) -> None:
    bench.set_up()
    assert bench.succeed("setup") == []


def test_a_second_run_only_deploys(bench: Bench) -> None:
    bench.set_up()
    again = [change.words[:3] for change in bench.succeed()]
    assert again == [
        ("run", "deploy", DELIVER),
        ("run", "services", "update-traffic"),
        ("run", "deploy", PUBLIC),
        ("run", "services", "update-traffic"),
    ]


def test_a_deployment_keeps_the_public_service_public(bench: Bench) -> None:
    bench.set_up()
    assert not {"allow-unauthenticated", "no-allow-unauthenticated"} & set(deployment(bench.succeed(), PUBLIC).flags)


def test_no_secret_is_in_an_argument_or_in_the_output(bench: Bench) -> None:
    output = bench("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    first, rotation = bench(), bench("rotate-signing-key")
    keys = " ".join(bench.cloud.secrets["callout-signing-key"]).split()
    finished = bench("rotate-signing-key", "finish")
    assert len(set(keys)) == 2
    written = "".join(done.stdout + done.stderr for done in (output, first, rotation, finished))
    written += " ".join(word for command in bench.gcloud.commands for word in command.line)
    written += "".join(command.environment for command in bench.gcloud.commands)
    assert [secret for secret in (SENDGRID_KEY, *keys) if secret in written] == []


def test_a_value_is_stored_without_its_line_break(bench: Bench) -> None:
    bench.succeed("secret", "sendgrid-api-key", given=f"{SENDGRID_KEY}\n")
    assert bench.cloud.secrets["sendgrid-api-key"] == [SENDGRID_KEY]


def test_the_signing_key_is_generated_once(bench: Bench) -> None:
    bench.set_up()
    bench.succeed()
    [key] = bench.cloud.secrets["callout-signing-key"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", key)


def test_a_second_service_has_secrets_of_its_own(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "SERVICE: notice-stage\n")
    changes = bench.set_up()
    assert set(bench.cloud.secrets) == {"notice-stage-sendgrid-api-key", "notice-stage-callout-signing-key"}
    assert set(bench.cloud.services) == {"notice-stage", "notice-stage-deliver"}
    assert "notice-stage-callout-signing-key:latest" in deployment(changes, "notice-stage").flags["set-secrets"]


def test_another_env_yaml_is_another_deployment(bench: Bench) -> None:
    bench.env_yaml(ENV_YAML + "REGION: us-central1\nGOOGLE_CLOUD_PROJECT: demo-proj\nPRODUCT_NAME: Stage # for us\n")
    public = deployment(bench.set_up(), PUBLIC)
    assert public.flags["region"] == "us-central1"
    assert environment(public)["PRODUCT_NAME"] == "Stage"


def test_additional_flags_are_passed_to_gcloud(bench: Bench) -> None:
    changes = bench.set_up("--", "--vpc-egress=all-traffic", "--update-labels=team=identity")
    for service in (PUBLIC, DELIVER):
        assert deployment(changes, service).flags["vpc-egress"] == "all-traffic"


def test_the_example_of_env_yaml_deploys(bench: Bench) -> None:
    bench.env_yaml((SOURCE / "env.yaml.example").read_text("utf-8"))
    bench.set_up()
    assert set(bench.cloud.services) == {PUBLIC, DELIVER}


def test_if_a_policy_forbids_all_users_the_invoker_check_is_disabled(bench: Bench) -> None:
    bench.cloud.policies["iam.allowedPolicyMemberDomains"] = DOMAINS
    bench.set_up()
    assert bench.cloud.services[PUBLIC].check_off
    assert "allUsers" not in {member for _, _, member in bench.cloud.grants}


def test_if_all_users_is_rejected_the_invoker_check_is_disabled(bench: Bench) -> None:
    """A policy that the account can't read is noticed only when the binding is rejected."""
    bench.gcloud.failures["run services add-iam-policy-binding password-notice"] = (
        "FAILED_PRECONDITION: One or more users named in the policy do not belong to a permitted customer."
    )
    bench.set_up()
    assert bench.cloud.services[PUBLIC].check_off
    assert bench.succeed("setup") == []


def test_remove_lists_the_resources_and_asks_before_it_deletes_them(bench: Bench) -> None:
    bench.set_up()
    output = bench.fail("remove", given="yes\n")
    assert "service password-notice-deliver" in output
    assert "secret sendgrid-api-key" in output
    assert "Notices that wait in the queue are lost" in output


def test_remove_deletes_everything_that_was_set_up(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("remove", given="password-notice\n")
    cloud = bench.cloud
    assert (cloud.services, cloud.queues, cloud.secrets, cloud.accounts) == ({}, {}, {}, set())
    assert not [role for resource, role, _ in cloud.grants if resource.startswith("projects/")]


def test_remove_keeps_secrets_that_others_created(bench: Bench) -> None:
    bench.set_up()
    bench.cloud.secrets["database"] = ["x"]
    bench.cloud.labels["database"] = "app=shop"
    bench.succeed("remove", given="password-notice\n")
    assert set(bench.cloud.secrets) == {"database"}


def test_a_new_account_that_google_does_not_know_yet_is_retried(bench: Bench) -> None:
    bench.gcloud.failures_once["projects add-iam-policy-binding demo-proj"] = "Service account does not exist."
    bench.set_up()
    assert bench.gcloud.failures_once == {}
    assert ("projects/demo-proj", "roles/run.builder", who("password-notice-builder")) in bench.cloud.grants
