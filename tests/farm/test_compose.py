"""The compose files are read by both generations of the program, and give no more than they must."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deployments" / "compose"
FILES = sorted(FOLDER.glob("*.yaml"))
BY_PATH = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def services(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    return found


def test_there_is_one_for_one_for_a_dozen_and_for_a_cluster() -> None:
    assert [path.stem for path in FILES] == ["cluster", "dozen", "one"]


@BY_PATH
def test_docker_compose_1_29_takes_it(path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    done = subprocess.run(
        [program, "-f", str(path), "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@BY_PATH
def test_every_service_has_limits_and_no_rights_and_no_way_to_the_host(path: Path) -> None:
    for name, service in services(path).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["restart"] == "unless-stopped", name
        assert not {"privileged", "network_mode", "pid", "ports", "devices"} & set(service), name
        assert "docker.sock" not in str(service), name
        values = service["environment"]
        assert all(k.endswith("_FILE") for k in values if "KEY" in k or "TOKEN" in k or "PASS" in k)
        assert service.get("read_only") or name == "database"


def test_a_cluster_s_database_is_reached_by_its_company_alone() -> None:
    path = FOLDER / "cluster.yaml"
    found = services(path)
    assert set(found) == {"database", "channels", "worker"}
    assert found["database"]["networks"] == ["inside"]
    assert yaml.safe_load(path.read_text())["networks"]["inside"] == {"internal": True}
    for name in ("channels", "worker"):
        assert "SWARM_DATABASE_URL_FILE" in found[name]["environment"]
        assert "company:/data" in found[name]["volumes"]
    assert found["channels"]["command"] == ["up"]
    assert found["worker"]["command"] == ["worker"]
    assert found["channels"]["environment"]["SWARM_WORKER__TAKES_ORDERS"] == "false"
