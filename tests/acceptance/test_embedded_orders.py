"""Five real orders with the embedded model, as `make order` gives them on a machine without keys."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")

SWARM = Path(sys.executable).parent / "swarm"
ORDERS = (
    "Write a one-page launch plan for a bakery that opens in six weeks.",
    "Écris un article sur la migration d'une application vers un autre hébergeur.",
    "Build a small command-line tool that counts the words of a file, with tests, and a landing "
    "page for it.",
    "Answer a customer who asks how to change the address of their order.",
    "Should we sell by subscription or once? Give a recommendation with reasons.",
)

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(1200)]


def swarm(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a person would, with no key in the environment."""
    environment = {"SWARM_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [SWARM, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one home for all five, so that the model is unpacked once."""
    return tmp_path_factory.mktemp("embedded")


@pytest.mark.parametrize("text", ORDERS)
def test_the_embedded_model_takes_an_order_to_its_end(home: Path, text: str) -> None:
    done = swarm(home, "order", text, "--wait", "--yes", "--json")
    document = json.loads(done.stdout)
    schema = json.loads(swarm(home, "schema", "order").stdout)
    jsonschema.validate(document, schema)
    receipt = document["receipt"]
    sys.stdout.write(f"{document['status']} {receipt['tokens']} {receipt['wall_s']} s\n")
    assert document["status"] == "delivered", (done.stderr, document["reason"])
    assert done.returncode == 0
    assert document["receipt"]["model_cost"]["status"] == "notional"
    assert document["receipt"]["tokens"]["input"] > 100
    assert document["receipt"]["tokens"]["output"] > 50
    assert document["artifacts"]
    for artifact in document["artifacts"]:
        data = (Path(document["workspace"]) / artifact["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
        assert len(data) == artifact["bytes"]
