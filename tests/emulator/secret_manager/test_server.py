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
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    with Client(transport="rest", client_options=options, credentials=credentials) as client:
        yield client


def create(client: Any, parent: str = "projects/demo-proj", secret_id: str = "key") -> Any:
    secret: dict[str, Any] = {} if "/locations/" in parent else {"replication": {"automatic": {}}}
    return client.create_secret(request={"parent": parent, "secret_id": secret_id, "secret": secret})


def add(client: Any, value: bytes, checksum: int | None = None, name: str = KEY) -> Any:
    payload = {"data": value} if checksum is None else {"data": value, "data_crc32c": checksum}
    return client.add_secret_version(request={"parent": name, "payload": payload})


def access(client: Any, version: int | str = "latest", name: str = KEY) -> Any:
    return client.access_secret_version(name=f"{name}/versions/{version}", retry=None, timeout=5)


def test_a_value_is_returned_unchanged_with_its_checksum(client: Any) -> None:
    create(client)
    added = add(client, b"\x00 any bytes \xff", crc32c(b"\x00 any bytes \xff"))
    payload = access(client).payload
    assert added.client_specified_payload_checksum
    assert (payload.data, payload.data_crc32c) == (b"\x00 any bytes \xff", crc32c(b"\x00 any bytes \xff"))


def test_the_checksum_is_crc32c() -> None:
    """Compare with the check value of CRC-32/ISCSI."""
    assert crc32c(b"123456789") == 0xE3069283


def test_a_wrong_checksum_is_rejected(client: Any) -> None:
    create(client)
    with pytest.raises(BadRequest, match="checksum"):
        add(client, b"value", 1)


def test_an_empty_payload_is_rejected(client: Any) -> None:
    create(client)
    with pytest.raises(BadRequest, match="Secret Payload cannot be empty"):
        add(client, b"")


def test_an_update_changes_only_the_fields_in_its_mask(client: Any) -> None:
    create(client)
    secret = {"name": KEY, "labels": {"team": "identity"}, "annotations": {"ignored": "yes"}}
    updated = client.update_secret(request={"secret": secret, "update_mask": {"paths": ["labels"]}})
    assert (dict(updated.labels), dict(updated.annotations)) == ({"team": "identity"}, {})
    cleared = client.update_secret(request={"secret": {"name": KEY}, "update_mask": {"paths": ["labels"]}})
    assert dict(cleared.labels) == {}
    assert cleared.replication.automatic is not None


@pytest.mark.parametrize("paths", [[], ["replication"], ["labels", "name"]])
def test_an_update_of_a_field_that_cannot_change_is_rejected(client: Any, paths: list[str]) -> None:
    create(client)
    with pytest.raises(BadRequest, match="update mask"):
        client.update_secret(request={"secret": {"name": KEY}, "update_mask": {"paths": paths}})


def test_permissions_are_granted_unless_denied_and_a_missing_secret_has_none(
    client: Any, secrets: FakeSecretManager
) -> None:
    both = ["secretmanager.versions.access", "secretmanager.versions.add"]

    def granted() -> list[str]:
        return list(client.test_iam_permissions(request={"resource": KEY, "permissions": both}).permissions)

    assert granted() == []
    secrets.put(KEY, VALUE)
    assert granted() == both
    secrets.deny(KEY)
    assert granted() == both[1:]


def test_a_get_with_a_body_is_rejected_by_the_front_end(secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    response = requests.get(f"{secrets.url}/v1/{KEY}", data="{}", timeout=20)
    assert (response.status_code, response.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "malformed or illegal request" in response.text


def test_a_version_shows_whether_the_client_sent_a_checksum(client: Any) -> None:
    create(client)
    assert not add(client, b"value").client_specified_payload_checksum


def test_responses_show_the_project_number(client: Any, secrets: FakeSecretManager) -> None:
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
    with pytest.raises(BadRequest, match="is in DISABLED state") as error:
        access(client)
    assert error.value.response.json()["error"]["status"] == "FAILED_PRECONDITION"
    secrets.enable(KEY, 2)
    assert access(client).payload.data == b"new"


def test_a_version_can_be_disabled_enabled_and_destroyed(client: Any, secrets: FakeSecretManager) -> None:
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


def test_regional_and_global_secrets_are_separate(client: Any, secrets: FakeSecretManager) -> None:
    create(client, "projects/demo-proj/locations/europe-west3")
    add(client, b"regional", name=REGIONAL)
    secrets.put(KEY, "global")
    assert access(client, name=REGIONAL).payload.data == b"regional"
    assert "/locations/europe-west3/secrets/key/versions/1" in access(client, name=REGIONAL).name
    assert access(client).payload.data == b"global"
    assert not client.get_secret(name=REGIONAL).replication


def test_secrets_are_listed_by_location_and_page(client: Any, secrets: FakeSecretManager) -> None:
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


def test_a_secret_cannot_be_created_twice(client: Any) -> None:
    create(client)
    with pytest.raises(Conflict, match=r"Secret \[projects/\d+/secrets/key\] already exists"):
        create(client)


def test_a_deleted_secret_is_gone(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    client.delete_secret(name=KEY)
    with pytest.raises(NotFound, match="not found"):
        client.get_secret(name=KEY)


@pytest.mark.parametrize("version", ["latest", "3", "no-number"])
def test_a_missing_version_is_not_found(client: Any, secrets: FakeSecretManager, version: str) -> None:
    with pytest.raises(NotFound, match="not found"):
        access(client, version)
    create(client)
    with pytest.raises(NotFound, match="not found"):
        access(client, version)


@pytest.mark.parametrize(("size", "accepted"), [(65_536, True), (65_537, False)])
def test_a_payload_has_at_most_64_kib(client: Any, size: int, accepted: bool) -> None:
    create(client)
    if accepted:
        assert add(client, b"x" * size).state == sm.SecretVersion.State.ENABLED
    else:
        with pytest.raises(BadRequest, match="65536"):
            add(client, b"x" * size)


@pytest.mark.parametrize("secret_id", ["", "no spaces", "x" * 256])
def test_a_malformed_secret_id_is_rejected(client: Any, secret_id: str) -> None:
    with pytest.raises(BadRequest):
        create(client, secret_id=secret_id)


@pytest.mark.parametrize("body", ["{", "[]", '{"payload": 1}', '{"payload": {"data": "*"}}'])
def test_a_malformed_body_is_rejected(secrets: FakeSecretManager, body: str) -> None:
    secrets.put(KEY, VALUE)
    response = requests.post(f"{secrets.url}/v1/{KEY}:addVersion", body, timeout=5)
    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_an_unknown_method_is_not_found(secrets: FakeSecretManager) -> None:
    response = requests.get(f"{secrets.url}/v1/{KEY}:dance", timeout=5)
    assert (response.status_code, response.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_an_iam_policy_is_stored_and_a_stale_etag_rejected(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    policy = client.get_iam_policy(request={"resource": KEY})
    policy.bindings.append(policy_pb2.Binding(role="roles/secretmanager.secretAccessor", members=["user:a@b.example"]))
    client.set_iam_policy(request={"resource": KEY, "policy": policy})
    assert client.get_iam_policy(request={"resource": KEY}).bindings == policy.bindings
    with pytest.raises(Conflict, match="concurrent policy changes"):
        client.set_iam_policy(request={"resource": KEY, "policy": policy})


def test_access_to_a_single_secret_can_be_denied(client: Any, secrets: FakeSecretManager) -> None:
    secrets.put(KEY, VALUE)
    secrets.put(REGIONAL, VALUE)
    secrets.deny(KEY)
    with pytest.raises(Forbidden, match=r"'secretmanager\.versions\.access' denied for resource") as error:
        access(client)
    assert error.value.reason == "IAM_PERMISSION_DENIED"
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
def test_a_named_fault_fails_as_many_requests_as_its_count(
    client: Any, secrets: FakeSecretManager, name: str, error: type[GoogleAPICallError]
) -> None:
    secrets.put(KEY, VALUE)
    secrets.faults.add(replace(FAULTS[name], count=2))
    for _ in range(2):
        with pytest.raises(error):
            access(client)
    assert access(client).payload.data == VALUE.encode()


def test_an_expired_token_gets_401(secrets: FakeSecretManager) -> None:
    secrets.faults.add(FAULTS["unauthenticated"])
    response = requests.get(f"{secrets.url}/v1/{KEY}", timeout=5)
    assert (response.status_code, response.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_a_reset_fault_resets_the_connection(secrets: FakeSecretManager) -> None:
    secrets.faults.add(FAULTS["reset"])
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{secrets.url}/v1/{KEY}", timeout=5)


@pytest.mark.parametrize("name", ["slow", "hang"])
def test_a_late_response_exceeds_the_timeout(secrets: FakeSecretManager, name: str) -> None:
    secrets.faults.add(replace(FAULTS[name], seconds=30))
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{secrets.url}/v1/{KEY}", timeout=0.1)


def test_the_journal_contains_no_value(client: Any, journal: Journal, secrets: FakeSecretManager) -> None:
    create(client)
    add(client, VALUE.encode(), crc32c(VALUE.encode()))
    access(client)
    requests.post(f"{secrets.url}/v1/{KEY}:addVersion", f"not JSON {VALUE}", timeout=5)
    recorded = json.dumps([entry.data for entry in journal.entries()])
    assert [entry.kind for entry in journal.entries()] == ["secret_manager.exchange"] * 4
    for encoding in (VALUE, base64.b64encode(VALUE.encode()).decode(), str(crc32c(VALUE.encode()))):
        assert encoding not in recorded


@pytest.mark.parametrize("text", ["", '{"name":"x"}', '{"error":{"code":404}}'])
def test_a_body_without_a_payload_is_not_redacted(text: str) -> None:
    assert redact_payload(text) == text


@pytest.mark.parametrize("name", ["key", "projects/p/secrets/", "projects/p/secrets/s/versions/1"])
def test_an_invalid_name_raises_an_error(secrets: FakeSecretManager, name: str) -> None:
    with pytest.raises(ValueError, match="isn't a secret's name"):
        secrets.put(name, VALUE)


@pytest.mark.slow
@needs_gcloud
def test_gcloud_stores_reads_and_disables_a_value(secrets: FakeSecretManager, tmp_path: Path) -> None:
    env = environment(tmp_path, secretmanager=secrets.url)
    created = gcloud(env, "secrets", "create", "key", "--replication-policy=automatic")
    added = gcloud(env, "secrets", "versions", "add", "key", "--data-file=-", stdin=VALUE)
    read = gcloud(env, "secrets", "versions", "access", "latest", "--secret=key")
    disabled = gcloud(env, "secrets", "versions", "disable", "1", "--secret=key")
    rejected = gcloud(env, "secrets", "versions", "access", "latest", "--secret=key")
    assert [created.returncode, added.returncode, disabled.returncode] == [0, 0, 0], created.stderr + added.stderr
    assert read.stdout == VALUE
    assert rejected.returncode == 1
    assert "FAILED_PRECONDITION" in rejected.stderr
    assert "is in DISABLED state" in rejected.stderr


@pytest.mark.slow
@needs_gcloud
def test_gcloud_grants_a_role_on_a_secret(secrets: FakeSecretManager, tmp_path: Path) -> None:
    secrets.put(f"projects/{PROJECT}/secrets/key", VALUE)
    env = environment(tmp_path, secretmanager=secrets.url)
    role, member = "roles/secretmanager.secretAccessor", "serviceAccount:a@demo-proj.iam.gserviceaccount.com"
    granted = gcloud(env, "secrets", "add-iam-policy-binding", "key", f"--member={member}", f"--role={role}")
    assert granted.returncode == 0, granted.stderr
    assert member in granted.stdout
