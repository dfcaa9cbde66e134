"""The manifests: right by the schemas of Kubernetes, and right with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from edgeproxy.config import Config
from edgeproxy.configuration.source import load

Manifest = dict[str, Any]
VERSIONS = ("1.30", "1.34")
SECRETS = {"edgeproxy-tokens", "edgeproxy-parent-tls"}  # made by the operator


@pytest.fixture
def manifests(configs: Path) -> list[Manifest]:
    folder = configs / "kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted(names) == sorted(p.name for p in folder.glob("*.yaml") if p.name != "kustomization.yaml")
    return [one for name in names for one in yaml.safe_load_all((folder / name).read_text())]


def of(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    found = of(manifests, "StatefulSet") | of(manifests, "DaemonSet")
    assert sorted(found) == ["edgeproxy-edge", "edgeproxy-parent"]
    return {name: one["spec"]["template"] for name, one in found.items()}


def configuration(manifests: list[Manifest], name: str, tmp_path: Path) -> Config:
    file = tmp_path / f"{name}.toml"
    file.write_text(of(manifests, "ConfigMap")[name]["data"]["edge.toml"])
    token = {"EDGEPROXY_ADMIN_TOKEN": "secret", "EDGEPROXY_LISTEN_NODE_TOKENS": "secret"}
    return load(file, [], token)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema_and_has_nothing_unknown(
    manifests: list[Manifest], version: str
) -> None:
    for one in manifests:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_tell_right_from_wrong(manifests: list[Manifest]) -> None:
    wrong = of(manifests, "StatefulSet")["edgeproxy-parent"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_the_configurations_load_as_the_containers_see_them(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    parent = configuration(manifests, "edgeproxy-parent", tmp_path)
    edge = configuration(manifests, "edgeproxy-edge", tmp_path)
    assert {site.name for site in parent.site} == {site.name for site in edge.site}
    assert parent.admin.listen.endswith(":8081")
    assert edge.admin.listen.endswith(":8081")


def test_edges_ask_every_parent_by_the_name_that_its_set_gives_it(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    edge = configuration(manifests, "edgeproxy-edge", tmp_path)
    parents = of(manifests, "StatefulSet")["edgeproxy-parent"]
    service = of(manifests, "Service")[parents["spec"]["serviceName"]]
    assert service["spec"]["clusterIP"] == "None"
    (port,) = service["spec"]["ports"]
    names = [f"edgeproxy-parent-{number}" for number in range(parents["spec"]["replicas"])]
    assert [one.url for one in edge.parent] == [
        f"https://{name}.{parents['spec']['serviceName']}.edgeproxy.svc:{port['port']}" for name in names
    ]


def test_edges_are_reached_on_the_machine_where_their_clients_are(manifests: list[Manifest]) -> None:
    assert of(manifests, "Service")["edgeproxy"]["spec"]["internalTrafficPolicy"] == "Local"


def test_services_budgets_and_policies_select_the_pods_they_mean(manifests: list[Manifest]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(manifests).items()}
    for one in manifests:
        spec = one.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        selector = selector.get("matchLabels", selector)
        if selector:
            chosen = [name for name, each in labels.items() if selector.items() <= each.items()]
            assert len(chosen) == 1, one["metadata"]["name"]


def test_ports_that_are_named_exist(manifests: list[Manifest], tmp_path: Path) -> None:
    named = {}
    for name, template in pods(manifests).items():
        (container,) = template["spec"]["containers"]
        named[name] = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            assert named[name][asked["port"]] == 8081
            assert asked["path"] == ("/readyz" if probe == "readinessProbe" else "/healthz")
    parent = configuration(manifests, "edgeproxy-parent", tmp_path).listen.https[0]
    edge = configuration(manifests, "edgeproxy-edge", tmp_path).listen.http[0]
    assert parent.endswith(f":{named['edgeproxy-parent']['https']}")
    assert edge.endswith(f":{named['edgeproxy-edge']['http']}")


def test_a_drain_fits_into_the_time_a_pod_is_given(manifests: list[Manifest], tmp_path: Path) -> None:
    for name, template in pods(manifests).items():
        (container,) = template["spec"]["containers"]
        before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = configuration(manifests, name, tmp_path).limits.drain_timeout
        assert template["spec"]["terminationGracePeriodSeconds"] >= before + drain + 10


def test_a_store_fits_on_its_volume(manifests: list[Manifest], tmp_path: Path) -> None:
    claim = of(manifests, "StatefulSet")["edgeproxy-parent"]["spec"]["volumeClaimTemplates"][0]
    volumes = {one["name"]: one for one in pods(manifests)["edgeproxy-edge"]["spec"]["volumes"]}
    rooms = {
        "edgeproxy-parent": claim["spec"]["resources"]["requests"]["storage"],
        "edgeproxy-edge": volumes["cache"]["emptyDir"]["sizeLimit"],
    }
    for name, room in rooms.items():
        cache = configuration(manifests, name, tmp_path).cache
        assert cache.disk + cache.free_space + cache.quarantine <= gibibytes(room) << 30
        assert cache.directory == "/var/cache/edgeproxy"


def test_memory_leaves_room_beside_the_ram_tier(manifests: list[Manifest], tmp_path: Path) -> None:
    for name, template in pods(manifests).items():
        resources = template["spec"]["containers"][0]["resources"]
        memory = configuration(manifests, name, tmp_path).cache.memory
        assert memory + (256 << 20) <= mebibytes(resources["requests"]["memory"]) << 20
        assert mebibytes(resources["requests"]["memory"]) < mebibytes(resources["limits"]["memory"])


def test_containers_may_do_nothing_they_need_not(manifests: list[Manifest]) -> None:
    for template in pods(manifests).values():
        spec = template["spec"]
        (container,) = spec["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "hostNetwork" not in spec


def test_no_secret_is_here_and_each_that_is_asked_for_is_told_to_operators(
    manifests: list[Manifest], configs: Path
) -> None:
    assert not of(manifests, "Secret")
    text = yaml.safe_dump_all(manifests)
    asked = set(re.findall(r"secretName: (\S+)", text)) | set(
        re.findall(r"secretKeyRef:\n\s+key: \S+\n\s+name: (\S+)", text)
    )
    assert asked == SECRETS
    guide = (configs / "README.md").read_text()
    assert all(name in guide for name in SECRETS)
    for one in of(manifests, "ConfigMap").values():
        for table in tomllib.loads(one["data"]["edge.toml"]).get("parent", []):
            assert "token" not in table


def test_mounts_are_of_volumes_that_exist_and_the_files_that_are_named(manifests: list[Manifest]) -> None:
    for name, template in pods(manifests).items():
        (container,) = template["spec"]["containers"]
        volumes = {one["name"] for one in template["spec"]["volumes"]} | {"cache"}
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert set(mounts.values()) == volumes
        text = of(manifests, "ConfigMap")[name]["data"]["edge.toml"]
        for path in re.findall(r'"(/[^"]+)/[^"/]+"', text):
            if path.startswith("/etc"):
                assert path in mounts, f"{name}: {path}"


def gibibytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity[:-2])


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]
