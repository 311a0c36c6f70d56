"""The files of one instance, as documents."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

import yaml

from swarm.core.errors import InvalidInput
from swarm.farm.base import (
    FARM,
    GENERATION,
    INSTANCE,
    MANAGED_BY,
    OWNER,
    SWARM,
    InstanceSpec,
    Secrets,
    check_name,
    label_value,
)
from swarm.farm.kubernetes.config import KubernetesConfig
from swarm.farm.specs import heard_at

Document = dict[str, Any]
UID = 10001
"""The image's user; Dockerfile."""
HEALTHY = ("/usr/local/bin/python3", "-I", "-S", "/opt/swarm/healthy.py")
"""The image's own check: the age of a file, without loading the program."""
SECRETS_AT = "/run/secrets/swarm"
SCRATCH_MIB = 256
STOP_S = 30
_EXPECTED = "swarm/expected-keys"


def render(
    spec: InstanceSpec, config: KubernetesConfig, *, farm: str, secrets: Secrets,
    with_values: bool = False,
) -> list[Document]:  # fmt: skip
    """Return the documents of an instance.

    Args:
        spec: What to run, for whom.
        config: How it looks there.
        farm: Id of the farm, for the labels.
        secrets: Their names decide what the pod reads; values are written only if asked.
        with_values: Whether the Secret holds the values. Without, it is an empty one of that name:
            applying it changes no value that was put there by other means.

    Raises:
        InvalidInput: The name fits no cluster, or the image is another machine's own.
    """
    check_name(spec.name)
    labels = _labels(spec, farm)
    documents = [_secret(spec, config, labels, secrets, with_values=with_values)]
    if config.flavor == "sandbox":
        documents += [_claim(spec, config, labels), _sandbox(spec, config, labels, secrets)]
    else:
        documents += [_service(spec, config, labels), _stateful_set(spec, config, labels, secrets)]
    return [*documents, _network_policy(spec, config, labels)]


class _Plain(yaml.SafeDumper):
    """Write what is said twice twice: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(documents: Sequence[Document]) -> str:
    """Write documents as one file."""
    return "---\n".join(
        yaml.dump(each, Dumper=_Plain, sort_keys=False, allow_unicode=True) for each in documents
    )


def _labels(spec: InstanceSpec, farm: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": SWARM,
        "app.kubernetes.io/instance": spec.name,
        "app.kubernetes.io/managed-by": SWARM,
        MANAGED_BY: SWARM,
        FARM: farm,
        INSTANCE: spec.name,
        OWNER: label_value(spec.owner),
    }


def _selected(spec: InstanceSpec, labels: Mapping[str, str]) -> dict[str, str]:
    return {FARM: labels[FARM], INSTANCE: spec.name}


def _meta(
    spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str], *, name: str = "",
    annotations: Mapping[str, str] | None = None,
) -> Document:  # fmt: skip
    made: Document = {
        "name": name or _name(spec), "namespace": config.namespace, "labels": dict(labels),
    }  # fmt: skip
    if annotations:
        made["annotations"] = dict(annotations)
    return made


def _name(spec: InstanceSpec) -> str:
    return f"swarm-{spec.name}"


def _secret(
    spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str], secrets: Secrets, *,
    with_values: bool,
) -> Document:  # fmt: skip
    name = f"{_name(spec)}-secrets"
    expected = {_EXPECTED: ",".join(sorted(secrets))} if secrets else None
    made: Document = {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": _meta(spec, config, labels, name=name, annotations=expected),
    }  # fmt: skip
    if with_values:
        made["stringData"] = {key: value.get_secret_value() for key, value in secrets.items()}
    return made


def _service(spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str]) -> Document:
    inner: Document = {"clusterIP": "None", "selector": _selected(spec, labels)}
    if config.port is not None:
        inner["ports"] = [{"name": "health", "port": config.port, "protocol": "TCP"}]
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": _meta(spec, config, labels), "spec": inner,
    }  # fmt: skip


def _stateful_set(
    spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str], secrets: Secrets
) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(spec, config, labels),
        "spec": {
            # A home has one worker; a second one would refuse to start.
            "replicas": 1,
            "serviceName": _name(spec),
            "selector": {"matchLabels": _selected(spec, labels)},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
            "template": {
                "metadata": {"labels": {**labels, GENERATION: spec.generation}},
                "spec": _pod(spec, config, secrets),
            },
            "volumeClaimTemplates": [
                # It cannot be changed later, so nothing is in it that may change.
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "home", "labels": _selected(spec, labels)},
                    "spec": _storage(config),
                }
            ],
        },
    }


def _sandbox(
    spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str], secrets: Secrets
) -> Document:
    pod = _pod(spec, config, secrets)
    # A claim from the sandbox's own templates is deleted with it; this one is not its own.
    pod["volumes"].append(
        {"name": "home", "persistentVolumeClaim": {"claimName": f"{_name(spec)}-home"}}
    )
    return {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": _meta(spec, config, labels),
        "spec": {
            "operatingMode": "Running",
            "shutdownPolicy": "Retain",
            "service": config.port is not None,
            "podTemplate": {
                "metadata": {"labels": {**labels, GENERATION: spec.generation}},
                "spec": pod,
            },
        },
    }


def _claim(spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str]) -> Document:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": _meta(spec, config, labels, name=f"{_name(spec)}-home"),
        "spec": _storage(config),
    }  # fmt: skip


def _storage(config: KubernetesConfig) -> Document:
    made: Document = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{config.storage_gib}Gi"}},
    }
    if config.storage_class is not None:
        made["storageClassName"] = config.storage_class
    return made


def _pod(spec: InstanceSpec, config: KubernetesConfig, secrets: Secrets) -> Document:
    """Return the pod: what the restricted standard asks for, and a root that cannot be written."""
    pod: Document = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "terminationGracePeriodSeconds": STOP_S,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": UID, "runAsGroup": UID, "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, config, secrets)],
        "volumes": [
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SCRATCH_MIB}Mi"}},
        ],
    }  # fmt: skip
    if secrets:
        secret = {"secretName": f"{_name(spec)}-secrets", "defaultMode": 0o440}
        pod["volumes"].append({"name": "secrets", "secret": secret})
    if config.pull_secret is not None:
        pod["imagePullSecrets"] = [{"name": config.pull_secret}]
    if config.runtime_class is not None:
        pod["runtimeClassName"] = config.runtime_class
    return pod


def _container(spec: InstanceSpec, config: KubernetesConfig, secrets: Secrets) -> Document:
    files = {f"{key}_FILE": f"{SECRETS_AT}/{key}" for key in secrets}
    # Who may come there is the NetworkPolicy's to say.
    variables = heard_at(config.port, spec.environment) | files
    check = {"exec": {"command": list(HEALTHY)}, "timeoutSeconds": 5, "periodSeconds": 30}
    mounts: list[Document] = [
        {"name": "home", "mountPath": "/data"},
        {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  # the container's own
    ]
    if secrets:
        mounts.append({"name": "secrets", "mountPath": SECRETS_AT, "readOnly": True})
    made: Document = {
        "name": SWARM,
        "image": _image(spec.image),
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in sorted(variables.items())],
        "securityContext": {
            "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
            "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": _resources(spec),
        "startupProbe": {**check, "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**check, "failureThreshold": 3},
        "readinessProbe": dict(check),
        "volumeMounts": mounts,
    }  # fmt: skip
    if config.port is not None:
        made["ports"] = [{"name": "health", "containerPort": config.port, "protocol": "TCP"}]
    return made


def _resources(spec: InstanceSpec) -> Document:
    """Return limits, and what is kept free for it: an idle instance needs little of a processor."""
    memory = f"{spec.memory_mib}Mi"
    return {
        "requests": {"cpu": _cpu(min(spec.cpus, Decimal("0.05"))), "memory": memory},
        "limits": {"cpu": _cpu(spec.cpus), "memory": memory, "ephemeral-storage": "256Mi"},
    }


def _cpu(cpus: Decimal) -> str:
    # A limit of nothing would be none at all.
    return f"{max(int((cpus * 1000).to_integral_value(ROUND_CEILING)), 1)}m"


def _image(image: str) -> str:
    if image.startswith("sha256:"):
        raise InvalidInput(
            f"{image} is an image of this machine alone; name one that the cluster can pull, such "
            "as registry.example.com/swarm@sha256:…"
        )
    if not image or image != "".join(image.split()):
        raise InvalidInput(f"{image!r} is no image's name: it has blanks, or is empty")
    return image


def _network_policy(
    spec: InstanceSpec, config: KubernetesConfig, labels: Mapping[str, str]
) -> Document:
    """Return what it may reach: names, and the world's HTTPS; nothing of the cluster."""
    ports = [{"protocol": "TCP", "port": port} for port in config.egress_ports]
    world = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(config.egress_except)}},
        {"ipBlock": {"cidr": "::/0", "except": list(config.egress_except_6)}},
    ]
    names = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ingress: list[Document] = []
    if config.port is not None:
        inside = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
                  "namespaceSelector": {}}  # fmt: skip
        ingress = [{"from": [inside], "ports": [{"protocol": "TCP", "port": config.port}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(spec, config, labels),
        "spec": {
            "podSelector": {"matchLabels": _selected(spec, labels)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": [
                {
                    "to": [names],
                    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
                },
                {"to": world, "ports": ports},
            ],
        },
    }
