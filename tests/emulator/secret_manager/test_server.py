import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    GoogleAPICallError,
    InternalServerError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1 as sm
from google.iam.v1 import policy_pb2

from emulator.core.journal import Journal
from emulator.secret_manager.model import crc32c
from emulator.secret_manager.server import FAULTS, FakeSecretManager, redact_payload
from tests.support.gcloud import PROJECT, environment, gcloud, needs_gcloud

KEY = "projects/demo-proj/secrets/key"
REGIONAL = "projects/demo-proj/locations/europe-west3/secrets/key"
VALUE = "SG.a-value-that-is-secret"

Client = sm.SecretManagerServiceClient


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def secrets(journal: Journal) -> Iterator[FakeSecretManager]:
    with FakeSecretManager(journal) as secrets:
        yield secrets


@pytest.fixture
def client(secrets: FakeSecretManager) -> Iterator[Any]:
    options = {"api_endpoint": secrets.url}
    anyone = AnonymousCredentials()  # type: ignore[no-untyped-call]
    with Client(transport="rest", client_options=options, credentials=anyone) as client:
        yield client


def create(client: Any, parent: str = "projects/demo-proj", secret_id: str = "key") -> Any:
    secret: dict[str, Any] = {} if "/locations/" in parent else {"replication": {"automatic": {}}}
    return client.create_secret(request={"parent": parent, "secret_id": secret_id, "secret": secret})


def add(client: Any, value: bytes, checksum: int | None = None, name: str = KEY) -> Any:
    payload = {"data": value} if checksum is None else {"data": value, "data_crc32c": checksum}
    return client.add_secret_version(request={"parent": name, "payload": payload})


def access(client: Any, version: int | str = "latest", name: str = KEY) -> Any:
    return client.access_secret_version(name=f"{name}/versions/{version}", retry=None, timeout=5)


def test_a_value_comes_back_as_it_was_stored_with_its_checksum(client: Any) -> None:
    create(client)
    added = add(client, b"\x00 any bytes \xff", crc32c(b"\x00 any bytes \xff"))
    payload = access(client).payload
    assert added.client_specified_payload_checksum
    assert (payload.data, payload.data_crc32c) == (b"\x00 any bytes \xff", crc32c(b"\x00 any bytes \xff"))


def test_the_checksum_is_the_castagnoli_one() -> None:
    """The check value of CRC-32/ISCSI."""
    assert crc32c(b"123456789") == 0xE3069283


def test_a_wrong_checksum_is_refused(client: Any) -> None:
    create(client)
    with pytest.raises(BadRequest, match="checksum"):
        add(client, b"value", 1)


def test_a_version_says_whether_its_checksum_was_given(client: Any) -> None:
    create(client)
    assert not add(client, b"value").client_specified_payload_checksum


def test_answers_name_the_project_by_its_number(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    name = access(client).name
    project = name.split("/")[1]
    assert project.isdigit()
    assert name == f"projects/{project}/secrets/key/versions/1"
    assert access(client, name=f"projects/{project}/secrets/key").name == name


def test_latest_is_the_newest_version_and_older_ones_stay_readable(client: Any, secrets: FakeSecretManager) -> None:
    assert [secrets.put(KEY, "old"), secrets.put(KEY, "new")] == [1, 2]
    assert access(client).name.endswith("/versions/2")
    assert [access(client, version).payload.data for version in ("latest", 1, 2)] == [b"new", b"old", b"new"]


def test_latest_does_not_fall_back_when_the_newest_version_is_disabled(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, "old")
    secrets.put(KEY, "new")
    secrets.disable(KEY, 2)
    with pytest.raises(BadRequest, match="is in DISABLED state") as refusal:
        access(client)
    assert refusal.value.response.json()["error"]["status"] == "FAILED_PRECONDITION"
    secrets.enable(KEY, 2)
    assert access(client).payload.data == b"new"


def test_a_version_goes_through_its_states(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    version = {"name": f"{KEY}/versions/1"}
    states = [change(request=version).state for change in (client.disable_secret_version, client.enable_secret_version)]
    destroyed = client.destroy_secret_version(request=version)
    assert states == [sm.SecretVersion.State.DISABLED, sm.SecretVersion.State.ENABLED]
    assert destroyed.state == sm.SecretVersion.State.DESTROYED
    assert destroyed.destroy_time >= destroyed.create_time
    with pytest.raises(BadRequest, match="is in DESTROYED state"):
        access(client, 1)
    with pytest.raises(BadRequest, match="is in DESTROYED state"):
        client.enable_secret_version(request=version)


def test_a_regional_secret_is_another_one_than_the_global_one(client: Any, secrets: FakeSecretManager) -> None:
    create(client, "projects/demo-proj/locations/europe-west3")
    add(client, b"regional", name=REGIONAL)
    secrets.put(KEY, "global")
    assert access(client, name=REGIONAL).payload.data == b"regional"
    assert "/locations/europe-west3/secrets/key/versions/1" in access(client, name=REGIONAL).name
    assert access(client).payload.data == b"global"
    assert not client.get_secret(name=REGIONAL).replication


def test_secrets_are_listed_by_place_and_page(client: Any, secrets: FakeSecretManager) -> None:
    for name in ("a", "b", "c"):
        create(client, secret_id=name)
    secrets.put(REGIONAL, VALUE)
    pages = client.list_secrets(request={"parent": "projects/demo-proj", "page_size": 2}).pages
    assert [[secret.name[-1] for secret in page.secrets] for page in pages] == [["a", "b"], ["c"]]
    assert len(list(client.list_secrets(parent="projects/demo-proj/locations/europe-west3"))) == 1


def test_versions_are_listed_newest_first(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, "old")
    secrets.put(KEY, "new")
    assert [version.name[-1] for version in client.list_secret_versions(parent=KEY)] == ["2", "1"]
    assert client.get_secret_version(name=f"{KEY}/versions/latest").name.endswith("/versions/2")


def test_a_secret_exists_once(client: Any) -> None:
    create(client)
    with pytest.raises(Conflict, match=r"Secret \[projects/\d+/secrets/key\] already exists"):
        create(client)


def test_a_deleted_secret_is_gone(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    client.delete_secret(name=KEY)
    with pytest.raises(NotFound, match="not found"):
        client.get_secret(name=KEY)


@pytest.mark.parametrize("version", ["latest", "3", "no-number"])
def test_what_does_not_exist_is_not_found(client: Any, secrets: FakeSecretManager, version: str) -> None:
    with pytest.raises(NotFound, match="not found"):
        access(client, version)
    create(client)
    with pytest.raises(NotFound, match="not found"):
        access(client, version)


@pytest.mark.parametrize(("size", "accepted"), [(65_536, True), (65_537, False)])
def test_a_payload_holds_64_kib(client: Any, size: int, accepted: bool) -> None:
    create(client)
    if accepted:
        assert add(client, b"x" * size).state == sm.SecretVersion.State.ENABLED
    else:
        with pytest.raises(BadRequest, match="65536"):
            add(client, b"x" * size)


@pytest.mark.parametrize("secret_id", ["", "no spaces", "x" * 256])
def test_a_malformed_secret_id_is_refused(client: Any, secret_id: str) -> None:
    with pytest.raises(BadRequest):
        create(client, secret_id=secret_id)


@pytest.mark.parametrize("body", ["{", "[]", '{"payload": 1}', '{"payload": {"data": "*"}}'])
def test_a_malformed_body_is_refused(secrets: FakeSecretManager, body: str) -> None:
    secrets.put(KEY, VALUE)
    answer = requests.post(f"{secrets.url}/v1/{KEY}:addVersion", body, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_an_unknown_method_is_not_found(secrets: FakeSecretManager) -> None:
    answer = requests.get(f"{secrets.url}/v1/{KEY}:dance", timeout=5)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_a_policy_is_kept_and_an_old_etag_refused(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    policy = client.get_iam_policy(request={"resource": KEY})
    policy.bindings.append(policy_pb2.Binding(role="roles/secretmanager.secretAccessor", members=["user:a@b.example"]))
    client.set_iam_policy(request={"resource": KEY, "policy": policy})
    assert client.get_iam_policy(request={"resource": KEY}).bindings == policy.bindings
    with pytest.raises(Conflict, match="concurrent policy changes"):
        client.set_iam_policy(request={"resource": KEY, "policy": policy})


def test_a_secret_may_be_denied_alone(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    secrets.put(REGIONAL, VALUE)
    secrets.deny(KEY)
    with pytest.raises(Forbidden, match=r"'secretmanager\.versions\.access' denied for resource") as refusal:
        access(client)
    assert refusal.value.reason == "IAM_PERMISSION_DENIED"
    assert access(client, name=REGIONAL).payload.data == VALUE.encode()
    secrets.deny(KEY, denied=False)
    assert access(client).payload.data == VALUE.encode()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("permission denied", Forbidden),
        ("not found", NotFound),
        ("rate limited", TooManyRequests),
        ("unavailable", ServiceUnavailable),
        ("internal", InternalServerError),
    ],
)
def test_a_named_fault_is_what_the_client_sees_as_often_as_asked(
    client: Any, secrets: FakeSecretManager, name: str, error: type[GoogleAPICallError]
) -> None:
    secrets.put(KEY, VALUE)
    secrets.faults.add(replace(FAULTS[name], count=2))
    for _ in range(2):
        with pytest.raises(error):
            access(client)
    assert access(client).payload.data == VALUE.encode()


def test_an_expired_token_is_told_so(secrets: FakeSecretManager) -> None:
    secrets.faults.add(FAULTS["unauthenticated"])
    answer = requests.get(f"{secrets.url}/v1/{KEY}", timeout=5)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_a_reset_breaks_the_connection(secrets: FakeSecretManager) -> None:
    secrets.faults.add(FAULTS["reset"])
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{secrets.url}/v1/{KEY}", timeout=5)


@pytest.mark.parametrize("name", ["slow", "hang"])
def test_a_late_answer_lets_the_caller_wait_in_vain(secrets: FakeSecretManager, name: str) -> None:
    secrets.faults.add(replace(FAULTS[name], seconds=30))
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{secrets.url}/v1/{KEY}", timeout=0.1)


def test_no_value_stands_in_the_journal(client: Any, journal: Journal, secrets: FakeSecretManager) -> None:
    create(client)
    add(client, VALUE.encode(), crc32c(VALUE.encode()))
    access(client)
    requests.post(f"{secrets.url}/v1/{KEY}:addVersion", f"not JSON {VALUE}", timeout=5)
    written = json.dumps([entry.data for entry in journal.entries()])
    assert [entry.kind for entry in journal.entries()] == ["secret_manager.exchange"] * 4
    for form in (VALUE, base64.b64encode(VALUE.encode()).decode(), str(crc32c(VALUE.encode()))):
        assert form not in written


@pytest.mark.parametrize("text", ["", '{"name":"x"}', '{"error":{"code":404}}'])
def test_a_body_without_a_payload_is_shown_as_it_is(text: str) -> None:
    assert redact_payload(text) == text


@pytest.mark.parametrize("name", ["key", "projects/p/secrets/", "projects/p/secrets/s/versions/1"])
def test_a_name_that_is_none_is_the_callers_mistake(secrets: FakeSecretManager, name: str) -> None:
    with pytest.raises(ValueError, match="is not projects/P"):
        secrets.put(name, VALUE)


@pytest.mark.slow
@needs_gcloud
def test_gcloud_stores_reads_and_disables_a_value(secrets: FakeSecretManager, tmp_path: Path) -> None:
    env = environment(tmp_path, secretmanager=secrets.url)
    made = gcloud(env, "secrets", "create", "key", "--replication-policy=automatic")
    added = gcloud(env, "secrets", "versions", "add", "key", "--data-file=-", stdin=VALUE)
    read = gcloud(env, "secrets", "versions", "access", "latest", "--secret=key")
    disabled = gcloud(env, "secrets", "versions", "disable", "1", "--secret=key")
    refused = gcloud(env, "secrets", "versions", "access", "latest", "--secret=key")
    assert [made.returncode, added.returncode, disabled.returncode] == [0, 0, 0], made.stderr + added.stderr
    assert read.stdout == VALUE
    assert refused.returncode == 1
    assert "FAILED_PRECONDITION" in refused.stderr
    assert "is in DISABLED state" in refused.stderr


@pytest.mark.slow
@needs_gcloud
def test_gcloud_grants_a_role_on_a_secret(secrets: FakeSecretManager, tmp_path: Path) -> None:
    secrets.put(f"projects/{PROJECT}/secrets/key", VALUE)
    env = environment(tmp_path, secretmanager=secrets.url)
    role, who = "roles/secretmanager.secretAccessor", "serviceAccount:a@demo-proj.iam.gserviceaccount.com"
    granted = gcloud(env, "secrets", "add-iam-policy-binding", "key", f"--member={who}", f"--role={role}")
    assert granted.returncode == 0, granted.stderr
    assert who in granted.stdout
