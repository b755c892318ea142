"""Draft, promote, versions, revert: which revisions serve, on both sides."""

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


def test_a_draft_has_no_traffic_on_either_side(bench: Bench) -> None:
    bench.set_up()
    changes = bench.succeed("draft")
    for side in (PUBLIC, DELIVER):
        assert {"no-traffic", "tag"} <= set(deployment(changes, side).flags)
        assert deployment(changes, side).flags["tag"] == "draft"
    assert serving(bench) == ("1", "1")


def test_a_drafts_tasks_go_to_the_drafts_deliver(bench: Bench) -> None:
    """And Cloud Tasks' token, made out for the draft's address, is one that the service takes."""
    bench.set_up()
    changes = bench.succeed("draft")
    address = "https://draft---password-notice-deliver-x.a.run.app"
    assert environment(deployment(changes, PUBLIC))["DELIVER_URL"] == address
    assert deployment(changes, DELIVER).flags["add-custom-audiences"] == address


def test_a_draft_leaves_all_rights_as_they_are(bench: Bench) -> None:
    bench.set_up()
    before = set(bench.cloud.grants)
    bench.succeed("draft")
    assert bench.cloud.grants == before


def test_there_is_no_draft_before_a_first_deployment(bench: Bench) -> None:
    assert "a first revision always receives traffic" in bench.fail("draft")


def test_promote_lets_the_very_revision_serve_in_direct_mode(bench: Bench) -> None:
    direct(bench).set_up()
    bench.succeed("draft")
    changes = bench.succeed("promote")
    assert [change.words[:3] for change in changes] == [("run", "services", "update-traffic")]
    assert serving(bench) == ("2",)


def test_promote_lets_both_sides_serve_and_nothing_depends_on_the_next_draft(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.succeed("promote")
    assert serving(bench) == ("3", "2")  # the public side's copy, and the draft's deliver
    assert "draft---" not in newest(bench.cloud.services[PUBLIC])["DELIVER_URL"]


def test_promote_twice_says_that_there_is_no_draft(bench: Bench) -> None:
    bench.set_up()
    assert "there is no draft" in bench.fail("promote")
    bench.succeed("draft")
    bench.succeed("promote")
    assert "there is no draft" in bench.fail("promote")


def test_promote_refuses_a_draft_that_a_deployment_has_overtaken(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.cloud.services[PUBLIC].revisions[-1]["labels"]["deployment"] = "20200101-000000"
    bench.cloud.services[PUBLIC].revisions.append(
        {**bench.cloud.services[PUBLIC].revisions[0], "name": "password-notice-00003"}
    )
    assert "something was deployed after the draft" in bench.fail("promote")


def test_a_deployment_serves_whatever_was_pinned_before(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    bench.succeed()
    assert serving(bench) == ("3", "3")
    assert bench.cloud.services[PUBLIC].tags == {}


def test_revert_goes_back_by_one_deployment_on_both_sides(bench: Bench) -> None:
    deploy_thrice(bench)
    bench.succeed("revert")
    assert serving(bench) == ("2", "2")
    bench.succeed("revert")
    assert serving(bench) == ("1", "1")
    assert "no deployment before this one" in bench.fail("revert")


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


def test_revert_to_a_revision_that_is_none_is_refused(bench: Bench) -> None:
    bench.set_up()
    assert "there is no revision password-notice-00009" in bench.fail("revert", "password-notice-00009")


def test_revert_never_lets_a_drafts_public_side_serve(bench: Bench) -> None:
    """Its tasks go wherever the draft is."""
    deploy_thrice(bench)
    bench.succeed("draft")
    said = bench.fail("revert", "password-notice-00004")
    assert "no working revision" in said


def test_after_a_promotion_revert_goes_to_what_served_before(bench: Bench) -> None:
    deploy_thrice(bench)
    bench.succeed("draft")
    bench.succeed("promote")
    assert serving(bench) == ("5", "4")
    bench.succeed("revert")
    assert serving(bench) == ("3", "3")


def test_versions_lists_both_sides_and_what_serves(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("draft")
    said = bench("versions").stdout
    assert "FUNCTION_URL: https://password-notice-x.a.run.app" in said
    assert "password-notice, receiving traffic: password-notice-00001" in said
    assert "password-notice-deliver-00002" in said
