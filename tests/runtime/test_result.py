from actions.result import Result, skipped


def test_skipped_has_its_reason() -> None:
    assert skipped("no_email") == Result("skipped", reason="no_email")
