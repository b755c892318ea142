"""`./deploy.sh alerts CHANNEL`: what it creates in Cloud Logging and Cloud Monitoring."""

from tests.deploy.conftest import ENV_YAML, Bench
from tests.deploy.fake_gcloud import PROJECT

CHANNEL = f"projects/{PROJECT}/notificationChannels/7"


def with_channel(bench: Bench) -> Bench:
    bench.cloud.apis.add("monitoring.googleapis.com")
    bench.cloud.channels.add(CHANNEL)
    return bench


def test_metrics_come_before_the_alerts_that_use_them(bench: Bench) -> None:
    made = [change.words for change in with_channel(bench).succeed("alerts", CHANNEL)]
    assert [words[:3] for words in made[:4]] == [("logging", "metrics", "create")] * 4
    assert [words[1:] for words in made[4:]] == [("monitoring", "policies", "create")] * 5
    assert {tuple(policy["notificationChannels"]) for policy in bench.cloud.alerts.values()} == {(CHANNEL,)}


def test_a_second_run_changes_nothing(bench: Bench) -> None:
    with_channel(bench).succeed("alerts", CHANNEL)
    assert bench.succeed("alerts", CHANNEL) == []


def test_what_differs_is_updated(bench: Bench) -> None:
    with_channel(bench).succeed("alerts", CHANNEL)
    bench.cloud.metrics["password_notice_failed"]["filter"] = "severity>=WARNING"
    silence = bench.cloud.alerts["password-notice: silence"]
    silence["conditions"][0]["conditionAbsent"]["duration"] = "3600s"
    changes = [change.words for change in bench.succeed("alerts", CHANNEL)]
    assert changes == [
        ("logging", "metrics", "update", "password_notice_failed"),
        ("alpha", "monitoring", "policies", "update", silence["name"]),
    ]
    assert bench.succeed("alerts", CHANNEL) == []


def test_a_second_service_has_alerts_of_its_own(bench: Bench) -> None:
    with_channel(bench).succeed("alerts", CHANNEL)
    bench.env_yaml(ENV_YAML + "SERVICE: notice-stage\n")
    assert len(bench.succeed("alerts", CHANNEL)) == 9
    assert "notice_stage_failed" in bench.cloud.metrics


def test_a_channel_that_does_not_exist_is_reported(bench: Bench) -> None:
    with_channel(bench)
    assert "gcloud beta monitoring channels list" in bench.fail("alerts", "8")


def test_the_channel_is_required(bench: Bench) -> None:
    assert bench("alerts").returncode == 2
