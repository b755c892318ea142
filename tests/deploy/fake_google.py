"""Google Cloud as the real gcloud sees it, on loopback: its Secret Manager and Cloud Tasks are the emulator's.

What it cannot show: that a build works, that IAM enforces a grant, quotas, organization policies, a revision's health.
"""

import json
import re
import time
from contextlib import ExitStack
from copy import deepcopy
from typing import Any, Self

from flask import request

from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.google_api import ApiError, Json, Policies, api, body
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.secret_manager.server import FakeSecretManager
from tests.support.gcloud import PROJECT

REGION = "europe-west1"
# gcloud puts the region before the host of Cloud Run's endpoint, so that it is reached through a proxy, by a name.
RUN = "http://run.localhost"
READY = [{"type": kind, "status": "True"} for kind in ("Ready", "ConfigurationsReady", "RoutesReady")]
OTHERS = ("IAM", "CLOUDRESOURCEMANAGER", "SERVICEUSAGE", "CLOUDBUILD", "ARTIFACTREGISTRY", "STORAGE", "CLOUDBILLING")
STAMP = "2026-11-23T10:%02d:%02d.000000Z"


class Google:
    """A context manager. `variables` make gcloud use this server."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.secret_manager, self.cloud_tasks = FakeSecretManager(self.journal), FakeCloudTasks(self.journal)
        self.apis: set[str] = set()
        self.accounts: dict[str, Json] = {}
        self.services: dict[str, Json] = {}
        self.revisions: list[Json] = []
        self.builds: list[Json] = []
        self.policies = Policies()
        self._repositories: set[str] = set()
        self._server = Server("google_cloud", self._app(), self.journal, redact=lambda text: text[:100_000])
        self._stack = ExitStack()

    @property
    def variables(self) -> dict[str, str]:
        here = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{self._server.url}/" for name in (*OTHERS, "ORGPOLICY")}
        return here | {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": f"{self.secret_manager.url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"{self.cloud_tasks.url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": f"{RUN}/",
            "http_proxy": self._server.url,
            "no_proxy": "127.0.0.1",
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in (self.secret_manager, self.cloud_tasks, self._server):
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def changes(self) -> list[str]:
        """Return the method and path of every request that changed something, in order."""
        return [
            f"{data['method']} {data['path']}"
            for data in (entry.data for entry in self.journal.entries() if entry.kind.endswith(".exchange"))
            if data["method"] != "GET" and not data["path"].partition("?")[0].endswith(READS)
        ]

    @property
    def grants(self) -> set[tuple[str, str, str]]:
        """Return the current policies as (resource, role, member), each without its prefix."""
        last = {}
        for entry in self.journal.entries():
            if ":setIamPolicy" in entry.data.get("path", ""):
                last[entry.data["path"]] = json.loads(entry.data["request"]["body"])["policy"].get("bindings", [])
        return {
            (
                re.sub(r".*/|:setIamPolicy.*|@.*", "", resource),
                binding["role"],
                re.sub("serviceAccount:|@.*", "", member),
            )
            for resource, bindings in last.items()
            for binding in bindings
            for member in binding["members"]
        }

    def serving(self, service: str) -> str:
        [name] = [each["revisionName"] for each in self.services[service]["status"]["traffic"] if each.get("percent")]
        return str(name)

    def container(self, revision: str) -> Json:
        [found] = [each for each in self.revisions if each["metadata"]["name"] == revision]
        container: Json = found["spec"]["containers"][0]
        return container

    def _app(self) -> Any:
        app = api("google_cloud")
        knative = "/apis/serving.knative.dev/v1/namespaces/<project>"
        place = "/v1/projects/<project>/locations/<region>"
        for rule, method, view in (
            # Resource Manager, billing, organization policies
            ("/v1/projects/<id:project>", "GET", _project),
            ("/v1/projects/<id:project>:testIamPermissions", "POST", lambda project: body()),
            ("/v1/projects/<id:project>:getIamPolicy", "POST", self._project_policy),
            ("/v1/projects/<id:project>:setIamPolicy", "POST", self._set_policy),
            ("/v1/projects/<id:project>/billingInfo", "GET", lambda project: {"billingEnabled": True}),
            ("/v1/projects/<id:project>:getEffectiveOrgPolicy", "POST", _list_policy),
            ("/v2/projects/<project>/policies/<id:policy>:getEffectivePolicy", "GET", _policy),
            # Service Usage
            ("/v1/projects/<project>/services", "GET", self._list_apis),
            ("/v1/projects/<project>/services/<id:name>", "GET", self._get_api),
            ("/v1/projects/<project>/services:batchEnable", "POST", self._enable),
            # IAM
            ("/v1/projects/<project>/serviceAccounts", "POST", self._create_account),
            ("/v1/projects/<project>/serviceAccounts/<id:email>", "GET", self._account),
            ("/v1/projects/<project>/serviceAccounts/<id:email>", "DELETE", self._delete_account),
            ("/v1/projects/<project>/serviceAccounts/<id:it>:getIamPolicy", "POST", self._get_policy),
            ("/v1/projects/<project>/serviceAccounts/<id:it>:setIamPolicy", "POST", self._policy_of),
            # Cloud Run
            ("/v1/projects/<project>/locations", "GET", _locations),
            (f"{place}/services/<id:it>:getIamPolicy", "GET", self._get_policy),
            (f"{place}/services/<id:it>:setIamPolicy", "POST", self._policy_of),
            (f"{knative}/services", "POST", self._put_service),
            (f"{knative}/services/<name>", "GET", self._service),
            (f"{knative}/services/<name>", "PUT", self._put_service),
            (f"{knative}/services/<name>", "DELETE", self._delete_service),
            (f"{knative}/revisions", "GET", self._list_revisions),
            (f"{knative}/revisions/<name>", "GET", self._revision),
            # a build: the repository of images, the bucket of sources, the build itself
            (f"{place}/repositories/<name>", "GET", self._repository),
            (f"{place}/repositories", "POST", self._create_repository),
            (f"{place}/operations/<name>", "GET", self._operation),
            ("/storage/v1/b/<name>", "GET", lambda name: _bucket()),
            ("/storage/v1/b", "GET", lambda: {"kind": "storage#buckets", "items": [_bucket()]}),
            ("/upload/storage/v1/b/<name>/o", "POST", _upload),
            ("/v2/projects/<project>/locations/<region>/builds:submit", "POST", self._build),
        ):
            app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        return app

    def _project_policy(self, project: str) -> Json:
        return self.policies.get(project)

    def _set_policy(self, project: str) -> Json:
        return self.policies.set(project, body()["policy"])

    def _get_policy(self, it: str, **place: str) -> Json:
        return self.policies.get(it)

    def _policy_of(self, it: str, **place: str) -> Json:
        return self._set_policy(it)

    # ---- Service Usage, IAM ----

    def _list_apis(self, project: str) -> Json:
        return {"services": [self._get_api(project, name) for name in sorted(self.apis)]}

    def _get_api(self, project: str, name: str) -> Json:
        state = "ENABLED" if name in self.apis else "DISABLED"
        return {"name": f"projects/1/services/{name}", "config": {"name": name}, "state": state}

    def _enable(self, project: str) -> Json:
        self.apis |= set(body()["serviceIds"])
        return {"name": "operations/1", "done": True, "response": {}}

    def _create_account(self, project: str) -> Json:
        email = f"{body()['accountId']}@{project}.iam.gserviceaccount.com"
        self.accounts[email] = {"name": f"projects/{project}/serviceAccounts/{email}", "email": email}
        return self.accounts[email]

    def _account(self, project: str, email: str) -> Json:
        if email not in self.accounts:
            raise ApiError("NOT_FOUND", f"Unknown service account {email}")
        return self.accounts[email]

    def _delete_account(self, project: str, email: str) -> Json:
        del self.accounts[self._account(project, email)["email"]]
        return {}

    # ---- Cloud Run ----

    def _service(self, project: str, name: str) -> Json:
        if name not in self.services:
            raise ApiError("NOT_FOUND", f"Resource '{name}' of kind 'SERVICE' does not exist.")
        return self.services[name]

    def _delete_service(self, project: str, name: str) -> Json:
        del self.services[self._service(project, name)["metadata"]["name"]]
        return {"kind": "Status", "status": "Success"}

    def _put_service(self, project: str, name: str = "") -> Json:
        """Add a revision for a new template, and route traffic as the service says (default: to the newest)."""
        given = body()
        name = given["metadata"]["name"]
        old = self.services.get(name)
        metadata = {
            **given["metadata"],
            "generation": (old or {"metadata": {"generation": 0}})["metadata"]["generation"] + 1,
        }
        metadata |= {
            "namespace": project,
            "resourceVersion": str(metadata["generation"]),
            "creationTimestamp": _stamp(0),
        }
        metadata["selfLink"] = f"/apis/serving.knative.dev/v1/namespaces/{project}/services/{name}"
        if old is None or old["spec"]["template"] != given["spec"]["template"]:
            self._add_revision(name, given["spec"]["template"])
        newest = [each for each in self.revisions if _service_of(each) == name][-1]["metadata"]["name"]
        url = f"https://{name}-0123456789.{REGION}.run.app"
        traffic = []
        given["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])
        for target in given["spec"]["traffic"]:
            tagged = {"url": url.replace("://", f"://{target['tag']}---")} if target.get("tag") else {}
            traffic.append({**target, "revisionName": target.get("revisionName", newest), **tagged})
        status = {
            "observedGeneration": metadata["generation"],
            "conditions": READY,
            "latestReadyRevisionName": newest,
            "latestCreatedRevisionName": newest,
            "traffic": traffic,
            "url": url,
            "address": {"url": url},
        }
        self.services[name] = {**given, "metadata": metadata, "status": status}
        return self.services[name]

    def _add_revision(self, service: str, template: Json) -> None:
        number = 1 + sum(_service_of(each) == service for each in self.revisions)
        metadata = deepcopy(template["metadata"])
        metadata.setdefault("name", f"{service}-{number:05}-abc")
        metadata |= {"namespace": PROJECT, "creationTimestamp": _stamp(len(self.revisions))}
        metadata["labels"] = {**metadata.get("labels", {}), "serving.knative.dev/service": service}
        head = {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata}
        self.revisions.append({**head, "spec": template["spec"], "status": {"conditions": READY}})

    def _list_revisions(self, project: str) -> Json:
        service = request.args["labelSelector"].replace(" ", "").partition("=")[2]
        found = [each for each in self.revisions if _service_of(each) == service]
        return {"kind": "RevisionList", "apiVersion": "serving.knative.dev/v1", "metadata": {}, "items": found}

    def _revision(self, project: str, name: str) -> Json:
        found = [each for each in self.revisions if each["metadata"]["name"] == name]
        if not found:
            raise ApiError("NOT_FOUND", f"Resource '{name}' of kind 'REVISION' does not exist.")
        return found[0]

    # ---- builds ----

    def _repository(self, project: str, region: str, name: str) -> Json:
        if name not in self._repositories:
            raise ApiError("NOT_FOUND", "Requested entity was not found.")
        return {"name": f"projects/{project}/locations/{region}/repositories/{name}", "format": "DOCKER"}

    def _create_repository(self, project: str, region: str) -> Json:
        self._repositories.add(request.args["repositoryId"])
        return {"name": f"projects/{project}/locations/{region}/operations/repository", "done": True, "response": {}}

    def _build(self, project: str, region: str) -> Json:
        self.builds.append(body())
        number, name = str(len(self.builds)), f"projects/{project}/locations/{region}"
        build = {"id": number, "name": f"{name}/builds/{number}", "projectId": project, "logUrl": "https://logs.fake"}
        kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
        operation = {"name": f"{name}/operations/{number}", "metadata": {"@type": kind, "build": build}}
        return {"buildOperation": operation, "baseImageUri": "base.fake/python313"}

    def _operation(self, project: str, region: str, name: str) -> Json:
        operation = {"name": f"projects/{project}/locations/{region}/operations/{name}", "done": True}
        if name == "repository":
            kind = "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"
            repository = f"projects/{project}/locations/{region}/repositories/cloud-run-source-deploy"
            return {**operation, "response": {"@type": kind, "name": repository}}
        image = {"name": "image.fake/notice", "digest": f"sha256:{name:0>64}"}
        build = {"@type": "type.googleapis.com/google.devtools.cloudbuild.v1.Build", "id": name, "status": "SUCCESS"}
        return {**operation, "response": {**build, "name": name, "results": {"images": [image]}}}


READS = (":getIamPolicy", ":testIamPermissions", ":getEffectiveOrgPolicy")


def _service_of(revision: Json) -> str:
    return str(revision["metadata"]["labels"]["serving.knative.dev/service"])


def _stamp(count: int) -> str:
    """Return a time that is later for a larger count, so that the newest can be identified."""
    return STAMP % divmod(count, 60)


def _project(project: str) -> Json:
    if project != PROJECT:
        raise ApiError("PERMISSION_DENIED", "The caller does not have permission")
    return {"projectId": project, "projectNumber": "1", "lifecycleState": "ACTIVE"}


def _list_policy(project: str) -> Json:
    return {"constraint": body()["constraint"], "listPolicy": {"allValues": "ALLOW"}}


def _policy(project: str, policy: str) -> Json:
    return {"name": f"projects/{project}/policies/{policy}", "spec": {"rules": [{"enforce": False}]}}


def _locations(project: str) -> Json:
    names = (REGION, "us-central1")
    return {"locations": [{"name": f"projects/{project}/locations/{name}", "locationId": name} for name in names]}


def _bucket() -> Json:
    name = f"run-sources-{PROJECT}-{REGION}"
    return {"kind": "storage#bucket", "id": name, "name": name}


def _upload(name: str) -> Json:
    size = re.search(rb'"size": *"(\d+)"', request.get_data())
    assert size is not None
    kept = {"name": request.args["name"], "size": size[1].decode(), "generation": str(time.time_ns())}
    return {"kind": "storage#object", "bucket": name, **kept}
