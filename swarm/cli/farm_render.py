"""Write the files with which somebody else's machinery runs an instance."""

import json
import os
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import ValidationError

from swarm.cli.farm_secrets import secrets_of
from swarm.cli.opened import opened
from swarm.cli.terminal import tell
from swarm.core.errors import ConfigError, InvalidInput
from swarm.core.registry import nearest
from swarm.farm.base import InstanceSpec, check_name
from swarm.farm.kubernetes.config import KubernetesConfig
from swarm.farm.kubernetes.manifests import Document, render, to_yaml
from swarm.farm.records import Records

FLAVORS = ("statefulset", "sandbox")
_SECRET = "Secret"  # noqa: S105  # a kind of document


def rendered(
    *, name: str, person: str, driver: str, flavor: str | None, image: str | None,
    memory_mib: int | None, cpus: str | None, namespace: str | None, output: str | None,
    secrets: str | None, secret: list[str], with_values: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write an instance's documents to standard output, or one file each into a folder.

    Raises:
        InvalidInput: A word is off.
        ConfigError: The folder cannot be written.
    """
    if driver != "kubernetes":
        raise InvalidInput(
            f"--driver {driver}: only kubernetes is written as files; "
            "`swarm farm up` starts instances elsewhere"
        )
    if flavor is not None and flavor not in FLAVORS:
        raise InvalidInput(f"--flavor {flavor}: there is no such{nearest(flavor, FLAVORS)}")
    if with_values and output is None:
        raise InvalidInput(
            "--with-secrets puts secrets into a file: name a folder with --output, where only you "
            "can read it. Standard output is too easily kept"
        )
    check_name(name)
    processors = _cpus(cpus)
    found = secrets_of(secrets, secret, prompts=False)
    with opened(is_made=True) as app:
        farm = app.settings.farm
        config: KubernetesConfig = farm.kubernetes
        words = {"namespace": namespace, "flavor": flavor}
        try:
            config = KubernetesConfig.model_validate(
                config.model_dump() | {k: value for k, value in words.items() if value is not None}
            )
        except ValidationError as error:
            raise InvalidInput(
                f"--namespace {namespace!r}: a namespace has 1 to 63 small letters, digits and dashes"
            ) from error
        spec = InstanceSpec(
            name, person, image or farm.image, memory_mib=memory_mib or farm.memory_mib,
            cpus=processors or farm.cpus,
        )  # fmt: skip
        farm_id = Records(app.store, app.clock, app.ids).farm_id()
    documents = render(spec, config, farm=farm_id, secrets=found, with_values=with_values)
    if output is None:
        text = json.dumps(documents, indent=2) + "\n" if as_json else to_yaml(documents)
        sys.stdout.write(text)
        return
    written = _write(Path(output), documents)
    if as_json:
        sys.stdout.write(json.dumps({"written": [str(path) for path in written]}) + "\n")
    else:
        tell(f"{len(written)} files in {output}: kubectl apply -f {output}")
    if found and not with_values:
        tell(
            f"The secret swarm-{name}-secrets is empty; give it the keys "
            f"{', '.join(sorted(found))} by the means your cluster has for that."
        )


def _cpus(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        cpus = Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput(f"--cpus {text} is no number, such as 0.5") from error
    if not cpus.is_finite() or not 0 < cpus <= 256:
        raise InvalidInput(f"--cpus {text}: between 0 and 256")
    return cpus


def _write(folder: Path, documents: list[Document]) -> list[Path]:
    """Write each document to a file of its own; one with secrets can be read by nobody else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for number, document in enumerate(documents, start=1):
            path = folder / f"{number:02d}-{document['kind'].lower()}.yaml"
            mode = 0o600 if document["kind"] == _SECRET else 0o644
            beside = path.with_suffix(".new")
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(to_yaml([document]))
            beside.replace(path)
            written.append(path)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    return written
