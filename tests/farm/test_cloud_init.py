"""What a new server is told: valid, short, without a secret that lives longer than its enrolment."""

import hashlib
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import ConfigError
from swarm.farm.cloud import user_data
from swarm.farm.cloud.config import CloudConfig
from swarm.farm.cloud.keys import Papers, new_pair, operator_key, write_papers
from swarm.farm.cloud.seats import EXPIRED
from swarm.farm.cloud.user_data import MOST_BYTES, deployment, render

VENDORS = ("hetzner", "scaleway")
HOST = "swarm-f1-host1"


def papers(folder: Path) -> Papers:
    return write_papers(folder, HOST)


def told(vendor: str, folder: Path) -> str:
    return render(vendor, host=HOST, papers=papers(folder), public_key=new_pair().public)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_rendered_file_is_what_cloud_init_takes(vendor: str, tmp_path: Path) -> None:
    program = shutil.which("cloud-init")
    if program is None:
        pytest.skip("cloud-init is not installed: apt-get install cloud-init")
    file = tmp_path / "user-data"
    file.write_text(told(vendor, tmp_path / "farm"))
    done = subprocess.run(
        [program, "schema", "--config-file", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(file.read_text().replace("ssh_pwauth: false", "ssh_pwauth: [maybe]"))
    done = subprocess.run(
        [program, "schema", "--config-file", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_it_holds_the_tokens_digest_and_no_token(vendor: str, tmp_path: Path) -> None:
    text = told(vendor, tmp_path)
    known = papers(tmp_path)
    assert len(text.encode()) < MOST_BYTES / 2
    assert text.startswith("#cloud-config\n")
    assert known.token not in text
    loaded: Any = yaml.safe_load(text)
    files = {each["path"]: each for each in loaded["write_files"]}
    digest = hashlib.sha256(known.token.encode()).hexdigest()
    assert files["/etc/swarm/enrolment.sha256"]["content"].strip() == digest
    assert files["/etc/swarm/enrolment.sha256"]["permissions"] == "0600"
    assert loaded["ssh_keys"]["ed25519_private"] == known.bootstrap.private
    assert loaded["ssh_pwauth"] is False
    assert "@" not in text.replace("%", "").split("write_files")[0].replace("ssh-ed25519", "")


@pytest.mark.parametrize("vendor", VENDORS)
def test_its_scripts_are_sound(vendor: str, tmp_path: Path) -> None:
    loaded: Any = yaml.safe_load(told(vendor, tmp_path))
    scripts = [f for f in loaded["write_files"] if f["content"].startswith("#!")]
    assert len(scripts) == 2
    for script in scripts:
        done = subprocess.run(
            ["/bin/sh", "-n"], input=script["content"], text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert script["permissions"] == "0700"


def test_a_dead_runs_papers_are_taken_again_and_those_of_a_gone_server_are_not(
    tmp_path: Path,
) -> None:
    first = papers(tmp_path)
    token, key = first.token, first.bootstrap.public
    again = papers(tmp_path)
    assert (again.token, again.bootstrap.public) == (token, key)
    own = new_pair().public
    again.learn(HOST, own)
    assert again.known_hosts.read_text().count("\n") == 2
    again.enrolled(HOST, own)
    assert again.known_hosts.read_text() == f"{HOST} {own}\n"
    assert papers(tmp_path).token != token
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_file()}
    assert modes == {0o600}


def test_an_operators_own_key_is_read_and_a_private_one_is_refused(tmp_path: Path) -> None:
    pair = new_pair()
    public, private = tmp_path / "id.pub", tmp_path / "id"
    public.write_text(f"{pair.public} ada@laptop\n")
    private.write_text(pair.private)
    config = CloudConfig(ssh_public_key=public, ssh_private_key=private)
    assert operator_key(config, tmp_path) == (pair.public, private)
    with pytest.raises(ConfigError, match=r"ends in \.pub"):
        operator_key(CloudConfig(ssh_public_key=private), tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        operator_key(CloudConfig(ssh_public_key=tmp_path / "none"), tmp_path)


def test_a_network_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"write it like 203\.0\.113\.7/32"):
        CloudConfig(ssh_from=("203.0.113.300",))


@given(st.text(min_size=1, max_size=40))
def test_no_value_becomes_another_line(value: str) -> None:
    """Values are made here or checked before; one that could break out stops everything."""
    try:
        kept = user_data._plain(value)
    except ConfigError:
        return
    assert "\n" not in kept
    assert '"' not in kept


# -- the enrolment, by the very script that a server gets


class Server:
    """The files that the script finds, in a folder."""

    def __init__(self, root: Path, vendor: str, known: Papers) -> None:
        loaded: Any = yaml.safe_load(
            render(vendor, host=HOST, papers=known, public_key=new_pair().public)
        )
        self.root = root
        files = {each["path"]: each["content"] for each in loaded["write_files"]}
        for folder in ("etc/swarm", "etc/ssh", "etc/cloud", "var/lib/cloud/instances/i-1"):
            (root / folder).mkdir(parents=True)
        (root / "etc/swarm/enrolment.sha256").write_text(files["/etc/swarm/enrolment.sha256"])
        (root / "etc/ssh/ssh_host_ed25519_key").write_text(loaded["ssh_keys"]["ed25519_private"])
        (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(known.bootstrap.public + " root\n")
        (root / "var/lib/cloud/instances/i-1/user-data.txt").write_text("told")
        script = files["/usr/local/sbin/swarm-enrol"]
        for place in ("/etc/", "/var/lib/cloud"):
            script = script.replace(place, f"{root}{place}")
        self.script = root / "swarm-enrol"
        self.script.write_text(script.replace("/run/systemd/system", f"{root}/none"))

    def enrol(self, half: str, token: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(self.script), half], input=f"{token}\n", text=True, capture_output=True,
            check=False, env={"PATH": os.environ["PATH"]},  # noqa: TID251  # finds ssh-keygen
        )  # fmt: skip

    def key(self) -> str:
        text = (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        return " ".join(text.split()[:2])


@pytest.fixture(params=VENDORS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed: apt-get install openssh-client")
    return Server(tmp_path / "root", request.param, papers(tmp_path / "farm"))


@pytest.fixture
def token(tmp_path: Path) -> str:
    return papers(tmp_path / "farm").token


def test_each_half_may_be_said_again(server: Server, token: str) -> None:
    bootstrap = server.key()
    first = server.enrol("begin", token)
    assert first.returncode == 0, first.stderr
    own = first.stdout.strip()
    assert own != bootstrap
    assert server.enrol("begin", token).stdout.strip() == own
    assert server.key() == bootstrap
    done = server.enrol("commit", token)
    assert (done.returncode, done.stdout.strip()) == (0, own)
    assert server.key() == own
    for half in ("begin", "commit"):
        again = server.enrol(half, "whatever")
        assert (again.returncode, again.stdout.strip()) == (0, own)


def test_a_wrong_token_changes_nothing(server: Server) -> None:
    bootstrap = server.key()
    for half in ("begin", "commit"):
        done = server.enrol(half, "not-the-token")
        assert done.returncode == 4
        assert done.stdout == ""
    assert server.key() == bootstrap
    assert not list((server.root / "etc/swarm").glob("next*"))


@pytest.mark.parametrize("ages_by", ["running", "clock"])
def test_a_token_that_is_too_old_opens_nothing(server: Server, token: str, ages_by: str) -> None:
    etc = server.root / "etc/swarm"
    (etc / "enrolment.until").write_text("1000000000000\n")
    if ages_by == "running":
        (etc / "enrolment.until").write_text("0\n")
    else:
        long_ago = time.time() - 2 * 86_400
        os.utime(etc / "enrolment.sha256", (long_ago, long_ago))
    bootstrap = server.key()
    for half in ("begin", "commit"):
        done = server.enrol(half, token)
        assert (done.returncode, done.stdout) == (EXPIRED, "")
    assert server.key() == bootstrap
    assert not list(etc.glob("next*"))


def test_afterwards_the_server_keeps_neither_token_nor_what_it_was_told(
    server: Server, token: str
) -> None:
    server.enrol("begin", token)
    server.enrol("commit", token)
    left = [p.name for p in server.root.rglob("*") if p.is_file()]
    assert not {"enrolment.sha256", "user-data.txt", "next_host_key"} & set(left)
    assert "cloud-init.disabled" in left
    private = server.root / "etc/ssh/ssh_host_ed25519_key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_template_that_is_missing_or_has_an_unknown_word_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"deployments/linode/cloud-init\.yaml is missing"):
        deployment("linode", "cloud-init.yaml")
    file = tmp_path / "cloud-init.yaml"
    file.write_text("#cloud-config\nhostname: '@NOBODY@'\n")
    monkeypatch.setattr(user_data, "deployment", lambda *_: file)
    with pytest.raises(ConfigError, match="no word @NOBODY@"):
        told("hetzner", tmp_path)
