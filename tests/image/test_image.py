"""The real image in real containers: rights, state, health, signals, deaths and neighbours."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.image.instances import HARDENED, PROVIDER_URL, UID, Container, Instances
from tools.docker.base import DEBIAN_VERSION

pytestmark = pytest.mark.timeout(900)

MAX_BYTES = 320_000_000
"""On the base made here, which is a little smaller than the official one."""
MAX_OWN_BYTES = 220_000_000
"""Of what the project adds to its base. Where the machine has no Python of its own to put into a
base, Debian's is taken, and the base is larger."""
MAX_HEALTHY_S, MAX_STOP_S = 10.0, 5.0
MAX_READY_S = 30.0
"""Of a machine whose two cores are busy; what it took is printed."""
MAX_IDLE_MIB = 110
PATIENCE_S = 2
"""With a connection between containers of one machine."""
CANARY = "sk-canary-4f1d9c27"
TOKEN = "7000000001:canary-token-b7e2"
TOOLS = ("pip", "pip3", "uv", "gcc", "cc", "make", "git", "curl")


@pytest.fixture(scope="module")
def instance(
    instances: Instances, figures: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Container:
    """An instance with its key in a file, ready."""
    key = tmp_path_factory.mktemp("secrets") / "key"
    key.write_text(f"{CANARY}\n")
    key.chmod(0o444)
    for folder in list(key.parents)[:3]:
        folder.chmod(0o755)
    began = time.monotonic()
    found = instances.run(
        "--volume", f"{key}:/run/secrets/key:ro",
        "--env", "ANTHROPIC_API_KEY_FILE=/run/secrets/key", name="alone",
    )  # fmt: skip
    found.until_ready()
    took = time.monotonic() - began
    figures.append(f"ready {took:.1f} s after docker run, company made on the way")
    assert took < MAX_READY_S
    return found


def test_the_image_is_small_and_says_what_it_is(instances: Instances, figures: list[str]) -> None:
    found = json.loads(instances.engine.docker("image", "inspect", instances.tag))[0]
    figures.append(f"image {found['Size'] / 1e6:.0f} MB")
    config = found["Config"]
    base = json.loads(instances.engine.docker("image", "inspect", instances.base))[0]
    own = found["Size"] - base["Size"]
    figures.append(f"{own / 1e6:.0f} MB of it beside the base {instances.base}")
    assert own <= MAX_OWN_BYTES
    assert found["Size"] <= MAX_BYTES or DEBIAN_VERSION in instances.base
    assert config["User"] == f"{UID}:{UID}"
    assert list(config["Volumes"]) == ["/data"]
    assert config["Entrypoint"][0] == "/usr/bin/tini"
    assert config["Healthcheck"]["Interval"] == 30 * 10**9
    assert "swarm" not in " ".join(config["Healthcheck"]["Test"][:4])
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "Swarm"
    assert {"version", "licenses", "revision"} <= {name.rpartition(".")[2] for name in labels}


def test_the_image_holds_no_secret_and_nothing_that_installs(instances: Instances) -> None:
    told = instances.engine.docker("history", "--no-trunc", instances.tag)
    told += instances.engine.docker("image", "inspect", instances.tag)
    assert not re.search(r"(?i)(api_key|token|password|secret)\w*=\S", told)
    looks = f"for t in {' '.join(TOOLS)}; do command -v $t; done; ls -A /opt/swarm /data"
    done = instances.once("--entrypoint", "sh", command=("-c", looks))
    listed = done.stdout.split()
    assert not [
        line for line in listed if line.startswith("/") and line.rpartition("/")[2] in TOOLS
    ]
    assert not {".git", "tests", ".venv", "swarm.db"} & set(listed)


def test_an_instance_has_no_rights_and_a_root_it_cannot_write(instance: Container) -> None:
    status = instance.sh("cat /proc/1/status")
    rights = dict(re.findall(r"^(\w+):\t(.*)$", status, re.MULTILINE))
    assert rights["Uid"].split() == [UID] * 4
    assert {rights[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (rights["NoNewPrivs"], rights["Seccomp"]) == ("1", "2")
    assert instance.inspect()["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    for folder in ("/", "/opt/swarm", "/usr/local/bin", "/etc", "/var"):
        assert "Read-only file system" in instance.sh(f"touch {folder}/x"), folder
    # Where Docker put the key; nothing else differs from the image.
    changed = {line[2:] for line in instance.engine.docker("diff", instance.name).splitlines()}
    assert changed <= {"/run", "/run/secrets", "/run/secrets/key"}


def test_state_lies_in_the_volume_alone(instance: Container) -> None:
    kept = set(instance.sh("ls -A /data").split())
    assert {"company.yaml", "swarm.db", "heartbeat", "worker.lock"} <= kept
    assert instance.sh("stat -c %a:%u /data") == f"700:{UID}"
    assert instance.sh("find / -xdev -user 10001 -newer /opt/swarm/healthy.py -type f "
                       "-not -path '/proc/*' 2>/dev/null") == ""  # fmt: skip


def test_a_key_from_a_file_is_used_and_shows_nowhere(instance: Container) -> None:
    assert "because ANTHROPIC_API_KEY is set" in instance.logs
    places = [instance.logs, json.dumps(instance.inspect()), instance.engine.docker("top", "alone")]
    places.append(instance.sh("cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'"))
    places.append(instance.sh("grep -rl canary /data"))
    assert not [place for place in places if "canary" in place]


def test_it_says_that_nobody_can_be_heard_and_lives_on(instance: Container) -> None:
    assert "hears nobody, because its standard input is empty" in instance.logs
    assert "SWARM_TELEGRAM__TOKEN" in instance.logs
    assert instance.exit_code is None


def test_it_is_healthy_soon(instance: Container, figures: list[str]) -> None:
    took = instance.until(lambda: instance.health == "healthy", within_s=MAX_HEALTHY_S)
    figures.append(f"healthy {took:.1f} s after that (looked at each second here)")


def test_stdin_s_end_and_a_restart_change_nothing(instance: Container, figures: list[str]) -> None:
    before = instance.swarm("memory", "add", "The founder likes short texts.")
    said = len(instance.logs)
    instance.engine.docker("restart", "--time", "20", instance.name)
    began = time.monotonic()
    instance.until(lambda: "Swarm works in" in instance.logs[said:])
    figures.append(f"ready {time.monotonic() - began:.1f} s after docker restart")
    assert json.dumps(before["text"]) in json.dumps(instance.swarm("memory", "list"))


def test_it_idles_on_little(instance: Container, figures: list[str]) -> None:
    pid = instance.sh("cat /data/worker.lock")
    idle = int(instance.sh(f"grep VmRSS /proc/{pid}/status").split()[1]) / 1024
    figures.append(f"idle memory {idle:.0f} MiB resident")
    assert idle < MAX_IDLE_MIB


def test_a_worker_that_hangs_is_seen(instance: Container) -> None:
    check = ("/usr/local/bin/python3", "-I", "-S", "/opt/swarm/healthy.py")
    assert instance.exec(*check).stdout == "works\n"
    instance.sh("touch -d '1 minute ago' /data/heartbeat")
    done = instance.exec(*check)
    assert done.returncode == 1
    assert "the last sign of life" in done.stdout


def test_the_sandbox_holds_with_docker_s_own_profile(instance: Container) -> None:
    findings = {f["name"]: f for f in instance.swarm("doctor")["findings"]}
    assert findings["sandbox"]["level"] == "ok"
    assert findings["sandbox"]["text"].startswith("landlock: no attempt")


def test_sigterm_ends_it_with_zero(instances: Instances, figures: list[str]) -> None:
    found = instances.run("--env", "ANTHROPIC_API_KEY=x", name="ended")
    found.until_ready()
    began = time.monotonic()
    instances.engine.docker("stop", "--time", "20", "ended")
    took = time.monotonic() - began
    figures.append(f"SIGTERM to the end {took:.1f} s")
    assert found.exit_code == 0, found.logs
    assert took < MAX_STOP_S


def test_killed_in_the_midst_of_an_order_it_goes_on_where_it_was(
    instances: Instances, figures: list[str]
) -> None:
    provider = instances.provider("provider", delay_s=0.4)
    found = instances.run(
        "--env", f"SWARM_LLM__API_BASE={PROVIDER_URL}", "--env", "SWARM_LLM__MODEL=openai/scripted",
        "--env", "SWARM_LLM__API_KEY=none", name="killed", network="container:provider",
    )  # fmt: skip
    found.until_ready()
    found.swarm("memory", "add", "The bakery opens at six.")
    order = found.swarm("order", "Look around, then write a post.", "--yes")["id"]
    found.until(lambda: provider.logs.count('"seen"') >= 1, within_s=60)
    instances.engine.docker("kill", "--signal", "KILL", "killed")
    found.until(lambda: found.exit_code == 137)
    instances.engine.docker("start", "killed")
    began = time.monotonic()
    found.until(lambda: found.swarm("show", order)["status"] == "delivered", within_s=90)
    figures.append(f"delivered {time.monotonic() - began:.1f} s after the restart of a killed one")
    assert "six" in json.dumps(found.swarm("memory", "list"))
    assert len(found.swarm("show", order)["artifacts"]) == 2
    assert "problem" not in {
        f["level"] for f in found.swarm("doctor")["findings"] if f["name"] in ("ledger", "audit")
    }
    _look_at_what_commands_saw(provider)


def _look_at_what_commands_saw(provider: Container) -> None:
    """The order's shell and Python ran in the sandbox, and got nowhere from there."""
    lines = [line for line in provider.logs.splitlines() if '"seen"' in line]
    seen = "\n".join(json.loads(line)["seen"] for line in lines)
    assert "wrote here" in seen
    assert "answer 42" in seen
    assert f"uid {UID}" in seen
    assert "PermissionError" in seen
    for escape in ("read the books", "wrote to", "read the environment", "reached"):
        assert escape not in seen, seen


@pytest.fixture(scope="module")
def neighbours(instances: Instances) -> dict[str, Container]:
    """Two instances with a network each, and one in a network that lets nothing out, all ready."""
    found = {}
    for name, more in (("one", ()), ("two", ()), ("shut", ("--internal",))):
        instances.engine.docker("network", "create", *more, name)
        found[name] = instances.run("--env", "ANTHROPIC_API_KEY=x", name=name, network=name)
    for container in found.values():
        container.until_ready()
    return found


def test_two_instances_reach_neither_each_others_volume_nor_port(
    neighbours: dict[str, Container],
) -> None:
    one, two = neighbours["one"], neighbours["two"]
    one.sh("echo of one > /data/secret")
    assert two.sh("cat /data/secret").endswith("No such file or directory")
    # A port that one opens itself, on every address it has.
    one.engine.docker(
        "exec", "--detach", "one", "python", "-m", "http.server", "8099", "-d", "/data"
    )
    address = (one.address(), 8099)
    look = f"import socket; socket.create_connection({address}, {PATIENCE_S}); print('in')"
    one.until(lambda: "in" in one.sh(f'python -c "{look}"'), within_s=10)
    refused = two.sh(f'python -c "{look}" 2>&1 | tail -n 1')
    assert re.search("(?i)timed out|refused|unreachable", refused), refused
    named = "import socket; socket.gethostbyname('one')"
    assert "gaierror" in two.sh(f'python -c "{named}" 2>&1 | tail -n 1')


def test_an_internal_network_lets_nothing_out(neighbours: dict[str, Container]) -> None:
    found, one = neighbours["shut"], neighbours["one"].address()
    # The open port of the test above, an address that nobody has, and one that many have.
    for address in ((one, 8099), ("192.0.2.1", 443), ("1.1.1.1", 443)):
        look = f"import socket; socket.create_connection({address}, {PATIENCE_S})"
        said = found.sh(f'python -c "{look}" 2>&1 | tail -n 1')
        assert re.search("(?i)unreachable|timed out", said), (address, said)


def test_without_a_network_doctor_answers(instances: Instances) -> None:
    done = instances.once(*HARDENED, "--tmpfs", f"/data:uid={UID}", command=("doctor", "--json"))
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"]


@pytest.mark.parametrize("mount", ["read-only", "foreign"])
def test_a_home_that_cannot_be_written_is_told_in_one_line(
    instances: Instances, tmp_path: Path, mount: str
) -> None:
    tmp_path.chmod(0o755)
    where = "nothing:/data:ro" if mount == "read-only" else f"{tmp_path}:/data"
    done = instances.once(*HARDENED, "--volume", where, command=("up",))
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"Error: /data cannot be written[^\n]*-v NAME:/data[^\n]*\n", done.stderr)


def test_a_secret_file_that_is_missing_is_told_in_one_line(instances: Instances) -> None:
    done = instances.once("--env", "ANTHROPIC_API_KEY_FILE=/run/secrets/none", command=("up",))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "ANTHROPIC_API_KEY_FILE: /run/secrets/none cannot be read" in done.stderr
