"""What is said to Docker's client, and what is made of what it says."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from swarm.core.errors import InvalidInput, NotFound
from swarm.farm.base import (
    DAYS_OF_A_MONTH,
    InstanceSpec,
    NoPlace,
    PlaceError,
    PlaceRefused,
    Price,
    check_name,
    label_value,
)
from swarm.farm.docker import words
from swarm.farm.docker.client import TakenError, explained, is_local
from swarm.farm.docker.config import DockerConfig
from swarm.farm.docker.driver import DockerDriver
from swarm.farm.docker.looking import moment
from swarm.farm.specs import read_spec
from tests.contracts.test_farm import site_in

IMAGE = words.Image("sha256:abc", 10001, 10001, ("healthy",))


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", NoPlace, "start"),
        ("error during connect: Post http://x: EOF", NoPlace, "run the command again"),
        ("Got permission denied while trying to connect to the Docker daemon socket", PlaceRefused, "group"),
        ('Conflict. The container name "/x" is already in use by container "y".', TakenError, "already"),
        ("Bind for 127.0.0.1:8080 failed: port is already allocated", TakenError, "port is taken"),
        ("Error: No such container: x", NotFound, "does not find"),
        ("write /var/lib/docker: no space left on device", PlaceError, "disk is full"),
        ("invalid reference format", InvalidInput, "no image's name"),
        ("something else", PlaceRefused, "`docker volume rm` failed: something else"),
    ],
)  # fmt: skip
def test_what_docker_complains_of_becomes_a_sentence(
    said: str, error: type[Exception], sentence: str
) -> None:
    found = explained(("volume", "rm", "canary"), said)
    assert isinstance(found, error)
    assert sentence in str(found)
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("", True), ("unix:///var/run/docker.sock", True), ("npipe:////./pipe/docker", True),
        ("tcp://127.0.0.1:2375", True), ("tcp://localhost:2375", True), ("tcp://[::1]:2375", True),
        ("tcp://10.0.0.1:2375", False), ("ssh://ann@host", False), ("tcp://127.0.0.1.evil:1", False),
        ("http://example.org", False),
    ],
)  # fmt: skip
def test_only_an_engine_of_this_machine_is_local(address: str, is_here: bool) -> None:
    assert is_local(address) is is_here


def test_no_word_to_docker_holds_a_secret_a_socket_or_a_right(tmp_path: Path) -> None:
    spec = InstanceSpec("ada", "Ann", "swarm:1", environment={"SWARM_NAME": "ada"}, port=4711)
    said = words.seat_words(site_in(tmp_path), spec, IMAGE, ["ANTHROPIC_API_KEY"], publish=8080)
    text = " ".join(said)
    assert "127.0.0.1:4711:8080" in said
    assert "SWARM_MONITORING__LISTEN=0.0.0.0:8080" in said, "a port where nobody answers is none"
    assert "ANTHROPIC_API_KEY_FILE=/run/secrets/ANTHROPIC_API_KEY" in said
    assert not {"--privileged", "--cap-add", "--volume", "--device", "--pid"} & set(said)
    assert "docker.sock" not in text
    assert "network host" not in text
    made, names = read_spec(said[said.index("--hostname") - 1].partition("=")[2])
    assert (made, names) == (spec, ["ANTHROPIC_API_KEY"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("SWARM_MONITORING__LISTEN", "0.0.0.0:9000"), ("SWARM_WHATSAPP__LISTEN", "0.0.0.0:8080")],
)
def test_a_port_that_a_setting_speaks_of_is_left_to_it(
    tmp_path: Path, name: str, value: str
) -> None:
    spec = InstanceSpec("ada", "Ann", "swarm:1", environment={name: value})
    said = words.seat_words(site_in(tmp_path), spec, IMAGE, [], publish=8080)
    told = [word for word in said if word.startswith(("SWARM_MONITORING", "SWARM_WHATSAPP"))]
    assert told == [f"{name}={value}"]


@pytest.mark.parametrize(
    ("port", "publish", "sentence"),
    [(0, 8080, "from 1 to 65535"), (99999, 8080, "from 1 to 65535"), (8081, None, "PUBLISH")],
)
async def test_a_port_that_could_never_be_heard_is_refused_before_anything_is_made(
    tmp_path: Path, port: int, publish: int | None, sentence: str
) -> None:
    driver = DockerDriver(site_in(tmp_path), DockerConfig(program="nothing", publish=publish))
    with pytest.raises(InvalidInput, match=sentence):
        await driver.create(InstanceSpec("ada", "Ann", "swarm:1", port=port), {})


def test_secrets_are_files_for_the_image_s_user_alone() -> None:
    data = words.secrets_archive({"A_KEY": SecretStr(" value\n")}, IMAGE)
    assert b"value" in data
    assert b"0000600" in data
    assert b" value" not in data


@pytest.mark.parametrize(
    "secrets", [{"lower": "x"}, {"A/B": "x"}, {"A": ""}, {"A": "x\ny"}, {"../A": "x"}]
)
def test_a_secret_that_is_no_variable_or_no_line_is_refused(secrets: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        words.check_secrets({name: SecretStr(value) for name, value in secrets.items()})
    assert "x\ny" not in str(caught.value)


@pytest.mark.parametrize("name", ["--privileged", "-v", "", "a b", "A", "x;y"])
def test_an_image_s_name_is_never_an_option(name: str) -> None:
    with pytest.raises(InvalidInput, match="no image's name"):
        words.check_image(name)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"User": ""}, "runs as 'root'"),
        ({"User": "0:0"}, "runs as '0:0'"),
        ({"User": "app"}, "runs as 'app'"),
        ({"User": "10001"}, "no health check"),
        ({"User": "10001", "Healthcheck": {"Test": ["NONE"]}}, "no health check"),
    ],
)
def test_an_image_without_a_user_or_a_health_check_is_refused(
    config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        words.read_image("swarm", {"Id": "sha256:1", "Config": config})


def test_docker_s_times_are_read_to_the_microsecond() -> None:
    wanted = datetime(2026, 11, 22, 11, 51, 6, 496296, tzinfo=UTC)
    assert moment("2026-11-22T11:51:06.496296798Z") == wanted
    assert moment("2026-11-22T12:51:06.496296798+01:00") == wanted
    assert moment("2026-11-22T11:51:06Z") == wanted.replace(microsecond=0)
    assert moment("0001-01-01T00:00:00Z") is None


@given(st.text(max_size=200))
def test_any_person_s_name_fits_a_label_and_no_two_share_one(text: str) -> None:
    value = label_value(text)
    assert len(value) <= 63
    assert all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in value)
    assert value != label_value(f"{text}!")


@given(st.text(max_size=40))
def test_a_name_that_is_taken_fits_a_host_and_a_label(text: str) -> None:
    try:
        name = check_name(text)
    except InvalidInput:
        return
    assert name == text == label_value(text)
    assert len(name) <= 30
    assert json.dumps(name) == f'"{name}"'


def test_a_day_costs_at_most_its_part_of_a_month() -> None:
    capped = Price(Decimal("0.01"), Decimal(6), "EUR")
    assert capped.per_day == Decimal(6) / DAYS_OF_A_MONTH
    assert Price(Decimal("0.001"), Decimal(6), "EUR").per_day == Decimal("0.024")
    assert Price.unknown("why").per_day is None
