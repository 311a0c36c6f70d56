"""Compile what an instance loads, ahead of time: `python warm.py /compiled`.

Runs in the build stage with the environment's own Python. An instance cannot keep compiled files,
since its root is read-only, and compiling everything there is would add 90 MB of which half is
never loaded. So a company is set up, its worker started and stopped, every module of ours imported
and a model asked at a closed port of this machine; what Python then compiled, of the standard
library too, goes below the folder of the argument, under the path it has in the image.
"""

import importlib.util
import os
import py_compile
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# Each speaks to its provider in words of its own; the model's name is never looked up anywhere.
MODELS = (
    "anthropic/a", "openai/gpt-4o-mini", "gemini/a", "mistral/a", "deepseek/a", "xai/a", "groq/a",
    "openrouter/openai/a",
)  # fmt: skip
IMPORT_ALL = """
import importlib, pkgutil, swarm
for found in pkgutil.walk_packages(swarm.__path__, "swarm."):
    if not found.name.endswith(".__main__") and ".migrations." not in found.name:
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            # What needs an extra that the image does not hold is not loaded in it either.
            if error.name.partition(".")[0] == "swarm":
                raise
"""
ASK = """
import asyncio, sys, litellm
async def ask(model):
    try:
        await litellm.acompletion(
            model=model, api_base="http://127.0.0.1:9/v1", api_key="none", num_retries=0,
            max_retries=0, timeout=5, messages=[{"role": "user", "content": "Hello"}],
        )
    except Exception as error:
        # That nobody listens there is litellm's to say; what Python says is a fault of the build.
        if not type(error).__module__.startswith("litellm"):
            raise
for model in sys.argv[1:]:
    asyncio.run(ask(model))
"""


def lanes_of(program: Path) -> list[list[list[str]]]:
    """Return the commands whose modules are compiled: two rows, run side by side."""
    swarm = str(program.parent / "swarm")
    ours = [
        [swarm, "init"],
        [swarm, "doctor"],
        ["timeout", "--signal=TERM", "5", swarm, "up"],
        [swarm, "up", "--help"],
        [str(program), "-c", IMPORT_ALL],
    ]
    return [[[str(program), "-c", ASK, *MODELS]], ours]


def _try(lane: list[list[str]], *, environment: dict[str, str]) -> None:
    for words in lane:
        done = subprocess.run(  # noqa: S603  # the words above
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        # `doctor` finds no model here, and `up` is ended.
        if done.returncode not in (0, 2, 124):
            sys.stderr.buffer.write(done.stderr[-2000:])
            raise subprocess.CalledProcessError(done.returncode, words[:2])


def loaded(program: Path) -> Iterator[Path]:
    """Run the trials and give the source files that Python compiled for them.

    Raises:
        CalledProcessError: A trial failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "compiled")
        environment = {
            "PATH": os.defpath, "HOME": folder, "SWARM_HOME": f"{folder}/company",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPYCACHEPREFIX": str(kept),
        }  # fmt: skip
        with ThreadPoolExecutor(2) as lanes:
            for _ in lanes.map(partial(_try, environment=environment), lanes_of(program)):
                pass
        suffix = f".{sys.implementation.cache_tag}.pyc"
        for path in sorted(kept.rglob(f"*{suffix}")):
            source = Path("/", path.relative_to(kept)).with_name(path.name.removesuffix(suffix))
            yield source.with_name(f"{source.name}.py")


def main() -> None:
    """Compile what the trials loaded, below the folder of the argument."""
    target = Path(sys.argv[1])
    count = 0
    for source in loaded(Path(sys.executable)):
        if source.is_file():
            compiled = Path(importlib.util.cache_from_source(str(source)))
            py_compile.compile(
                str(source), cfile=f"{target}{compiled}", doraise=True,
                # No look at the source's date: nobody can change it in an image.
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )  # fmt: skip
            count += 1
    sys.stdout.write(f"{count} modules compiled\n")


if __name__ == "__main__":
    main()
