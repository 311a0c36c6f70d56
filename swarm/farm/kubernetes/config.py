"""The settings of what is written for Kubernetes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
"""What an instance has no business with: other pods, the nodes, the metadata service."""
PRIVATE_6 = ("fc00::/7", "fe80::/10")


class KubernetesConfig(BaseModel):
    """How an instance's files look."""

    model_config = ConfigDict(extra="forbid")

    namespace: str = Field(default="swarm", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    flavor: Literal["statefulset", "sandbox"] = "statefulset"
    """`sandbox` is the resource of kubernetes-sigs/agent-sandbox, which must be installed there."""
    storage_gib: int = Field(default=5, ge=1)
    storage_class: str | None = None
    """None takes the cluster's own."""
    pull_secret: str | None = None
    """Name of the Secret with which the image is pulled."""
    runtime_class: str | None = None
    """Such as `gvisor`, where the cluster has it."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of health and metrics inside; None publishes none and lets nothing in."""
    egress_ports: tuple[int, ...] = (443,)
    """Ports of the world that it may reach, besides names: models and chats speak HTTPS."""
    egress_except: tuple[str, ...] = PRIVATE
    egress_except_6: tuple[str, ...] = PRIVATE_6
