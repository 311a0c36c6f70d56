"""What is written for Kubernetes: valid, restricted, and without a secret unless one was asked for."""

import json
import os
import re
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from swarm.cli.farm_render import rendered
from swarm.core.errors import InvalidInput
from swarm.farm.base import InstanceSpec
from swarm.farm.kubernetes.config import KubernetesConfig
from swarm.farm.kubernetes.manifests import Document, render, to_yaml
from tests.farm.machines import SECRETS, TOKEN, spec

FLAVORS = ("statefulset", "sandbox")


def documents(flavor: str = "statefulset", **settings: Any) -> list[Document]:
    config = KubernetesConfig.model_validate({"flavor": flavor} | settings)
    made = render(spec(), config, farm="f1", secrets=SECRETS)
    # As who applies the file reads it.
    return list(yaml.safe_load_all(to_yaml(made)))


def one(found: list[Document], kind: str) -> Any:
    (document,) = [each for each in found if each["kind"] == kind]
    return document


def pod(flavor: str, **settings: Any) -> Any:
    found = documents(flavor, **settings)
    if flavor == "sandbox":
        return one(found, "Sandbox")["spec"]["podTemplate"]["spec"]
    return one(found, "StatefulSet")["spec"]["template"]["spec"]


@pytest.mark.parametrize(("flavor", "version"), [("statefulset", "1.28"), ("sandbox", "1.33")])
def test_any_persons_name_and_size_is_written_the_same_twice_and_is_valid(
    flavor: str, version: str
) -> None:
    config = KubernetesConfig.model_validate({"flavor": flavor, "port": 8080})
    for owner in ("Élodie d'Été", "李雷", "a" * 80, "...", "Ann: #x", "yes", "1e3", "null", "😀"):
        asked = InstanceSpec(
            "ada", owner, "registry.example.com/swarm:1", cpus=Decimal("0.0004"), memory_mib=128,
            environment={"SWARM_FOUNDER": owner, "A": "yes", "B": "0123", "C": "a\nb: c"},
        )  # fmt: skip
        made = render(asked, config, farm="f1", secrets=SECRETS)
        text = to_yaml(made)
        assert to_yaml(render(asked, config, farm="f1", secrets=SECRETS)) == text
        found = list(yaml.safe_load_all(text))
        assert found == made
        for document in found:
            for value in document["metadata"]["labels"].values():
                assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value)
            if document["kind"] != "Sandbox" and owner == "Ann: #x":
                kubernetes_validate.validate(document, version, strict=True)


def test_a_limit_is_never_rounded_to_none_at_all() -> None:
    tiny = InstanceSpec("ada", "Ada", "swarm:1", cpus=Decimal("0.0004"))
    found = one(render(tiny, KubernetesConfig(), farm="f1", secrets={}), "StatefulSet")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == "1m"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_port_that_is_asked_for_is_listened_on(flavor: str) -> None:
    (container,) = pod(flavor, port=9464)["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert told["SWARM_MONITORING__LISTEN"] == "0.0.0.0:9464"
    (silent,) = pod(flavor)["containers"]
    assert "SWARM_MONITORING__LISTEN" not in {each["name"] for each in silent["env"]}


@pytest.mark.parametrize("port", [None, 8080])
def test_every_document_is_valid(port: int | None) -> None:
    found = documents(port=port, storage_class="fast", pull_secret="reg", runtime_class="gvisor")
    kinds = [each["kind"] for each in found]
    assert kinds == ["Secret", "Service", "StatefulSet", "NetworkPolicy"]
    for document in found:
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_validator_refuses_what_is_off() -> None:
    found = one(documents(), "StatefulSet")
    found["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRoot"):
        kubernetes_validate.validate(found, "1.37", strict=True)


def test_a_sandbox_runs_the_same_pod_as_a_set() -> None:
    """Its own schema is not at hand; its pod is held against the cluster's as that of a plain Pod."""
    found = documents("sandbox", port=8080)
    assert [e["kind"] for e in found] == [
        "Secret", "PersistentVolumeClaim", "Sandbox", "NetworkPolicy",
    ]  # fmt: skip
    sandbox = one(found, "Sandbox")
    assert sandbox["apiVersion"] == "agents.x-k8s.io/v1beta1"
    assert set(sandbox["spec"]) == {"operatingMode", "shutdownPolicy", "service", "podTemplate"}
    inner = sandbox["spec"]["podTemplate"]
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": inner["spec"]}
    for document in (plain, one(found, "PersistentVolumeClaim"), one(found, "NetworkPolicy")):
        kubernetes_validate.validate(document, "1.37", strict=True)
    ours = {k: v for k, v in inner["spec"].items() if k != "volumes"}
    assert ours == {k: v for k, v in pod("statefulset", port=8080).items() if k != "volumes"}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_pod_is_restricted(flavor: str) -> None:
    inner = pod(flavor)
    assert inner["automountServiceAccountToken"] is False
    assert not any(inner.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert {"runAsNonRoot": True, "runAsUser": 10001}.items() <= inner["securityContext"].items()
    assert inner["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = inner["containers"]
    rights = container["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["privileged"] is False
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["runAsNonRoot"] is True
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    limits = container["resources"]["limits"]
    assert (limits["memory"], limits["cpu"]) == ("512Mi", "1000m")
    allowed = {"emptyDir", "secret", "persistentVolumeClaim"}
    assert {key for volume in inner["volumes"] for key in volume} <= allowed | {"name"}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_secrets_are_files_and_their_values_are_left_out(flavor: str) -> None:
    found = documents(flavor)
    text = to_yaml(found)
    assert TOKEN not in text
    assert "sk-canary" not in text
    secret = one(found, "Secret")
    # Applied again, it must not overwrite what was put there by other means.
    assert not {"data", "stringData"} & set(secret)
    assert secret["metadata"]["annotations"] == {
        "swarm/expected-keys": "ANTHROPIC_API_KEY,SWARM_TELEGRAM__TOKEN"
    }
    inner = pod(flavor)
    (volume,) = [v for v in inner["volumes"] if v["name"] == "secrets"]
    assert volume["secret"] == {"secretName": "swarm-ada-secrets", "defaultMode": 0o440}
    (mount,) = [m for m in inner["containers"][0]["volumeMounts"] if m["name"] == "secrets"]
    assert mount["readOnly"] is True
    names = {each["name"]: each["value"] for each in inner["containers"][0]["env"]}
    assert names["SWARM_TELEGRAM__TOKEN_FILE"] == f"{mount['mountPath']}/SWARM_TELEGRAM__TOKEN"


def test_values_are_written_where_they_were_asked_for() -> None:
    made = render(spec(), KubernetesConfig(), farm="f1", secrets=SECRETS, with_values=True)
    secret = one(made, "Secret")
    assert secret["stringData"]["SWARM_TELEGRAM__TOKEN"] == TOKEN
    kubernetes_validate.validate(secret, "1.37", strict=True)


def test_the_home_is_kept_when_the_set_goes() -> None:
    inner = one(documents(), "StatefulSet")["spec"]
    assert inner["replicas"] == 1
    assert inner["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain", "whenScaled": "Retain",
    }  # fmt: skip
    (claim,) = inner["volumeClaimTemplates"]
    assert claim["kind"] == "PersistentVolumeClaim"
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    # A claim of the sandbox's own would go with it.
    assert "volumeClaimTemplates" not in one(documents("sandbox"), "Sandbox")["spec"]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_it_reaches_the_world_by_https_and_nothing_of_the_cluster(flavor: str) -> None:
    found = documents(flavor)
    policy = one(found, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    names, world = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in world["ports"]] == [443]
    blocks = {to["ipBlock"]["cidr"]: to["ipBlock"]["except"] for to in world["to"]}
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(
        blocks["0.0.0.0/0"]
    )
    assert "fc00::/7" in blocks["::/0"]
    owner = "Sandbox" if flavor == "sandbox" else "StatefulSet"
    template = one(found, owner)["spec"].get("template") or one(found, owner)["spec"]["podTemplate"]
    chosen = policy["podSelector"]["matchLabels"].items()
    assert chosen <= template["metadata"]["labels"].items()


def test_an_image_of_this_machine_alone_is_refused() -> None:
    local = InstanceSpec("ada", "Ada", "sha256:" + "0" * 64, cpus=Decimal(1))
    with pytest.raises(InvalidInput, match="image of this machine alone"):
        render(local, KubernetesConfig(), farm="f1", secrets={})


# -- by the command


def _swarm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("swarm")
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "SWARM_HOME": str(folder / "home")}  # noqa: TID251  # of a child process
    return subprocess.run(
        [str(program), "farm", "render", *words], env=home, text=True, capture_output=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_command_writes_secrets_only_into_files_of_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"SWARM_TELEGRAM__TOKEN={TOKEN}\n")
    file.chmod(0o600)
    out = tmp_path / "out"
    words = ("ada", "--for", "Ada", "--secrets", str(file), "--with-secrets", "--output", str(out))
    done = _swarm(tmp_path, *words, "--json")
    assert done.returncode == 0, done.stderr
    written = [Path(each) for each in json.loads(done.stdout)["written"]]
    assert [yaml.safe_load(path.read_text())["kind"] for path in written] == [
        "Secret", "Service", "StatefulSet", "NetworkPolicy",
    ]  # fmt: skip
    held = [path for path in out.iterdir() if TOKEN in path.read_text()]
    assert [path.name for path in held] == ["01-secret.yaml"]
    assert stat.S_IMODE(held[0].stat().st_mode) == 0o600
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"name": "Ada_"}, "cannot be an instance's name"),
        ({"flavor": "sanbox"}, "did you mean 'sandbox'"),
        ({"driver": "nomad"}, "only kubernetes is written as files"),
        ({"cpus": "many"}, "is no number"),
        ({"cpus": "-1"}, "between 0 and 256"),
        ({"namespace": "Team A"}, "a namespace has 1 to 63 small letters"),
        ({"namespace": "a.b"}, "a namespace has 1 to 63 small letters"),
        ({"image": "swarm :1"}, "no image's name"),
        ({"with_values": True}, "name a folder with --output"),
    ],
)
def test_a_wrong_word_is_a_sentence(words: dict[str, Any], said: str) -> None:
    plain: dict[str, Any] = {
        "name": "ada", "person": "", "driver": "kubernetes", "flavor": None, "image": None,
        "memory_mib": None, "cpus": None, "namespace": None, "output": None, "secrets": None,
        "secret": [], "with_values": False, "as_json": False,
    }  # fmt: skip
    with pytest.raises(InvalidInput, match=said):
        rendered(**plain | words)
