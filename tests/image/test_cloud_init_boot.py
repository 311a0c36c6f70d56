"""A server's first start, for real: Debian's cloud-init in a container without a network.

What a vendor's machine does with our template is done here by the same program: stages in their order,
files and modes, the host key, the enrolment. Docker itself is a stand-in, for nothing can be downloaded.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.farm.cloud.keys import Papers, new_pair, write_papers
from swarm.farm.cloud.user_data import render
from tools.docker.engine import Engine, NoEngineError, running

pytestmark = pytest.mark.timeout(600)

TAG = "swarm-first-start:test"
HOST = "swarm-f1-host1"
STAGES = ("init --local", "init", "modules --mode=config", "modules --mode=final")
PACKAGES = "cloud-init,openssh-server,iproute2,netbase"
STAND_IN = "#!/bin/sh\nexit 0\n"


@pytest.fixture(scope="module")
def engine(pytestconfig: pytest.Config, figures: list[str]) -> Iterator[Engine]:
    """A daemon with a Debian that has cloud-init; the project's own image is not needed."""
    if given := pytestconfig.getoption("image_engine"):
        found = Engine(Path(given))
        if found.run("image", "inspect", TAG).returncode != 0:
            _import(found, figures)
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="swarm-docker-") as folder:
        try:
            with running(Path(folder, "engine")) as found:
                _import(found, figures)
                yield found
        except NoEngineError as error:
            if pytestconfig.getoption("docker_only"):
                pytest.fail(f"no daemon runs here: {error}", pytrace=False)
            pytest.skip(f"no daemon runs here: {error}")


def _import(found: Engine, figures: list[str]) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="swarm-first-start-") as folder:
        archive = Path(folder, "base.tar")
        program = shutil.which("mmdebstrap")
        assert program is not None, "tools/setup.sh docker installs it"
        done = subprocess.run(
            [program, "--quiet", "--variant=minbase", "--format=tar", f"--include={PACKAGES}",
             "bookworm", str(archive)], capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"Debian's packages cannot be had: {done.stderr.strip()[-200:]}")
        found.docker("import", str(archive), TAG)
    figures.append(f"Debian with cloud-init in {time.monotonic() - began:.0f} s")


class Started:
    """A container after the four stages of its first start."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def sh(self, script: str, *, said: str = "") -> str:
        """Run a line as root and return its output; `said` is its input."""
        done = self.run(script, said=said)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def run(self, script: str, *, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line as root."""
        return self._engine.run("exec", self._name, "sh", "-c", f"printf %s '{said}' | ({script})")


@pytest.fixture(scope="module", params=["hetzner", "scaleway"])
def started(
    request: pytest.FixtureRequest, engine: Engine, papers: Papers, figures: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Started]:  # fmt: skip
    seed = tmp_path_factory.mktemp("seed")
    text = render(request.param, host=HOST, papers=papers, public_key=new_pair().public)
    (seed / "user-data").write_text(text)
    (seed / "meta-data").write_text(f"instance-id: i-1\nlocal-hostname: {HOST}\n")
    (seed / "docker").write_text(STAND_IN)
    (seed / "docker").chmod(0o755)
    name = f"first-start-{request.param}"
    engine.run("rm", "--force", name)
    engine.docker(
        "run", "--detach", "--name", name, "--network", "none", "--hostname", HOST, TAG, "sleep",
        "600",
    )  # fmt: skip
    made = Started(engine, name)
    made.sh("mkdir -p /var/lib/cloud/seed/nocloud && rm -f /etc/ssh/ssh_host_*")
    for file in ("user-data", "meta-data"):
        engine.docker("cp", str(seed / file), f"{name}:/var/lib/cloud/seed/nocloud/{file}")
    # `update-locale` comes with a package that every vendor's image has.
    for program in ("docker", "update-locale"):
        engine.docker("cp", str(seed / "docker"), f"{name}:/usr/local/bin/{program}")
    made.sh("chown -R 0:0 /var/lib/cloud/seed && echo 'datasource_list: [NoCloud]' "
            ">/etc/cloud/cloud.cfg.d/99-here.cfg")  # fmt: skip
    began = time.monotonic()
    for stage in STAGES:
        made.run(f"cloud-init {stage}")
    figures.append(f"first start by {request.param}'s file: {time.monotonic() - began:.1f} s")
    yield made
    engine.docker("rm", "--force", name)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return write_papers(tmp_path_factory.mktemp("farm"), HOST)


def test_what_it_is_told_is_valid_to_the_program_that_reads_it(started: Started) -> None:
    said = started.sh("cloud-init schema --config-file /var/lib/cloud/seed/nocloud/user-data")
    assert "Valid cloud-config" in said


def test_no_stage_has_an_error(started: Started) -> None:
    result = json.loads(started.sh("cat /run/cloud-init/result.json"))["v1"]
    assert result["errors"] == [], started.sh("tail -50 /var/log/cloud-init.log")
    assert "NoCloud" in result["datasource"]
    assert started.sh("test -f /var/lib/swarm/prepared && echo yes") == "yes"


def test_it_shows_the_host_key_that_it_was_given(started: Started, papers: Papers) -> None:
    if "ssh_host_ed25519_key" not in started.sh("ls /etc/ssh; true"):
        pytest.fail("it has no host key")
    assert started.sh("ls /etc/ssh/ssh_host_*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]
    shown = started.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert shown == papers.bootstrap.public
    assert started.sh("ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key") .split()[:2] == (
        papers.bootstrap.public.split()
    )  # fmt: skip


def test_ssh_takes_the_operators_key_and_no_password(started: Started) -> None:
    started.sh("mkdir -p /run/sshd")
    words = dict(line.split(" ", 1) for line in started.sh("sshd -T").splitlines() if " " in line)
    assert words["permitrootlogin"] in ("without-password", "prohibit-password")
    assert words["passwordauthentication"] == "no"
    assert words["kbdinteractiveauthentication"] == "no"
    assert words["hostkey"] == "/etc/ssh/ssh_host_ed25519_key"
    keys = started.sh("cat /root/.ssh/authorized_keys").splitlines()
    assert len(keys) == 1
    assert keys[0].startswith("ssh-ed25519 ")
    assert started.sh("stat -c %a /root/.ssh/authorized_keys") == "600"


def test_what_only_root_may_read_is_nowhere_else(started: Started, papers: Papers) -> None:
    body = papers.bootstrap.private.splitlines()[2]
    # Through a file: an argument would be found in /proc by the search itself.
    found = started.sh(
        f"cat >/root/needle <<'E'\n{body}\n{papers.token_digest}\n{papers.token}\nE\n"
        "grep -rlFf /root/needle /etc /var /run /root /tmp 2>/dev/null | grep -v -e needle -e /seed/ || true"
    ).split()
    assert found
    modes = {path: started.sh(f"stat -c %a {path}") for path in found}
    assert not [path for path, mode in modes.items() if mode[-1] != "0" or mode[-2] != "0"]
    digest = started.sh("stat -c '%a %U' /etc/swarm/enrolment.sha256")
    assert digest == "600 root"
    for script in ("swarm-enrol", "swarm-prepare"):
        assert started.sh(f"stat -c %a /usr/local/sbin/{script}") == "700"


def test_it_is_enrolled_and_forgets_what_it_was_told(started: Started, papers: Papers) -> None:
    """Last: afterwards nothing of the user data is left."""
    enrol = "/usr/local/sbin/swarm-enrol"
    wrong = started.run(f"{enrol} begin", said="nobody")
    assert (wrong.returncode, wrong.stdout) == (4, "")
    own = started.sh(f"{enrol} begin", said=papers.token)
    assert own.startswith("ssh-ed25519 ")
    assert started.sh(f"{enrol} commit", said=papers.token) == own
    assert started.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub") == own
    body = papers.bootstrap.private.splitlines()[2]
    left = started.sh(
        f"cat >/root/needle <<'E'\n{body}\n{papers.token_digest}\n{papers.token}\nE\n"
        "grep -rlFf /root/needle /etc /var /run /tmp 2>/dev/null | grep -v /seed/ || true"
    )
    assert left == ""
