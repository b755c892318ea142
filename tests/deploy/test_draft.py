"""Draft, promote, versions, revert: which revisions of both services receive traffic."""

from tests.deploy.conftest import ENV_YAML, Bench
from tests.deploy.fake_gcloud import Service
from tests.deploy.test_deploy import DELIVER, PUBLIC, deployment, environment


def serving(bench: Bench) -> tuple[str, ...]:
    """Return the number of the revision that receives traffic, for each service."""
    return tuple(bench.cloud.services[side].serves[-1] for side in sorted(bench.cloud.services))


def newest(service: Service) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in service.revisions[-1]["environment"].splitlines())


def direct(bench: Bench) -> Bench:
    bench.env_yaml(ENV_YAML + "DELIVERY: direct\n")
    return bench


def test_a_draft_has_no_traffic_on_either_service(bench: Bench) -> None:
    bench.set_up()
    changes = bench.succeed("draft")
    for side in (PUBLIC, DELIVER):
        assert {"no-traffic", "tag"} <= set(deployment(changes, side).flags)
        assert deployment(changes, side).flags["tag"] == "draft"
    assert serving(bench) == ("1", "1")


def test_a_drafts_tasks_go_to_the_drafts_deliver(bench: Bench) -> None:
    """The service accepts Cloud Tasks' token, whose audience is the draft's address."""
    bench.set_up()
    changes = bench.succeed("draft")
    address = "https://draft---password-notice-deliver-x.a.run.app"
    assert environment(deployment(changes, PUBLIC))["DELIVER_URL"] == address
    assert deployment(changes, DELIVER).flags["add-custom-audiences"] == address


def test_a_draft_changes_no_permissions(bench: Bench) -> None:
    bench.set_up()
    before = set(bench.cloud.grants)
    bench.succeed("draft")
    assert bench.cloud.grants == before


def test_there_is_no_draft_before_a_first_deployment(bench: Bench) -> None:
    assert "a first revision always receives traffic" in bench.fail("draft")


def test_promote_routes_traffic_to_the_drafts_revision_in_direct_mode(bench: Bench) -> None:
    direct(bench).set_up()
    bench.succeed("draft")
    changes = bench.succeed("promote")
    assert [change.words[:3] for change in changes] == [("run", "services", "update-traffic")]
    assert serving(bench) == ("2",)


def test_promote_routes_traffic_to_both_services_independently_of_the_next_draft(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.succeed("promote")
    assert serving(bench) == ("3", "2")  # the public service's copy, and the draft's deliver
    assert "draft---" not in newest(bench.cloud.services[PUBLIC])["DELIVER_URL"]


def test_promote_twice_says_that_there_is_no_draft(bench: Bench) -> None:
    bench.set_up()
    assert "there is no draft" in bench.fail("promote")
    bench.succeed("draft")
    bench.succeed("promote")
    assert "there is no draft" in bench.fail("promote")


def test_promote_rejects_a_draft_that_is_older_than_the_deployment(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.cloud.services[PUBLIC].revisions[-1]["labels"]["deployment"] = "20200101-000000"
    bench.cloud.services[PUBLIC].revisions.append(
        {**bench.cloud.services[PUBLIC].revisions[0], "name": "password-notice-00003"}
    )
    assert "something was deployed after the draft" in bench.fail("promote")


def test_a_deployment_receives_traffic_even_if_another_revision_was_pinned(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.succeed()
    assert serving(bench) == ("3", "3")
    assert bench.cloud.services[PUBLIC].tags == {}


def test_revert_rolls_both_services_back_by_one_deployment(bench: Bench) -> None:
    deploy_thrice(bench)
    bench.succeed("revert")
    assert serving(bench) == ("2", "2")
    bench.succeed("revert")
    assert serving(bench) == ("1", "1")
    assert "no previous deployment" in bench.fail("revert")


def deploy_thrice(bench: Bench) -> None:
    bench.set_up()
    for count in (1, 2, 3):
        names = [f"2026010{day}-120000" for day in range(1, count + 1)]
        for service in bench.cloud.services.values():
            for revision, name in zip(service.revisions, names, strict=True):
                revision["labels"]["deployment"] = name
        if count < 3:
            bench.succeed()


def test_revert_goes_to_any_revision_and_forward_again(bench: Bench) -> None:
    deploy_thrice(bench)
    bench.succeed("revert", "password-notice-deliver-00001")
    assert serving(bench) == ("1", "1")
    bench.succeed("revert", "password-notice-00003")
    assert serving(bench) == ("3", "3")


def test_revert_to_an_unknown_revision_is_rejected(bench: Bench) -> None:
    bench.set_up()
    assert "there is no revision password-notice-00009" in bench.fail("revert", "password-notice-00009")


def test_revert_never_routes_traffic_to_a_drafts_public_revision(bench: Bench) -> None:
    """Such a revision sends its tasks to the draft's URL."""
    deploy_thrice(bench)
    bench.succeed("draft")
    output = bench.fail("revert", "password-notice-00004")
    assert "no working revision" in output


def test_after_a_promotion_revert_restores_the_previous_deployment(bench: Bench) -> None:
    deploy_thrice(bench)
    bench.succeed("draft")
    bench.succeed("promote")
    assert serving(bench) == ("5", "4")
    bench.succeed("revert")
    assert serving(bench) == ("3", "3")


def test_versions_lists_both_services_and_what_receives_traffic(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    output = bench("versions").stdout
    assert "FUNCTION_URL: https://password-notice-x.a.run.app" in output
    assert "password-notice, receiving traffic: password-notice-00001" in output
    assert "password-notice-deliver-00002" in output
