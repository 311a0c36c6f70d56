"""Compile what an instance loads, ahead of time: `python warm.py /compiled`.

Runs in the build stage with the environment's own Python. An instance cannot keep compiled files,
since its root is read-only, and compiling everything there is would add 90 MB of which half is
never loaded. So a company is set up, its worker started and stopped, every module of ours imported
and a model asked at a closed port of this machine; what Python then compiled, of the standard
library too, goes below the folder of the argument, under the path it has in the image.

What is not ours is compiled without its documentation, which nobody reads in an instance and which
would fill 4 MiB of its memory. Beside them goes the empty database of the company that was set up:
an instance that begins with it need not load what makes the tables.
"""

import ast
import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

# Each speaks to its provider in words of its own; the model's name is never looked up anywhere.
MODELS = (
    "anthropic/a", "openai/gpt-4o-mini", "gemini/a", "mistral/a", "deepseek/a", "xai/a", "groq/a",
    "openrouter/openai/a",
)  # fmt: skip
_HEADER = 16
"""Bytes before the code in a compiled file: PEP 552."""
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


def loaded(program: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Run the trials in a folder and give what Python compiled for them: source, and compiled file.

    Raises:
        CalledProcessError: A trial failed.
    """
    kept = folder / "compiled"
    environment = {
        "PATH": os.defpath, "HOME": str(folder), "SWARM_HOME": str(folder / "company"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPYCACHEPREFIX": str(kept),
    }  # fmt: skip
    with ThreadPoolExecutor(2) as lanes:
        for _ in lanes.map(partial(_try, environment=environment), lanes_of(program)):
            pass
    # One that nobody worked in: nothing of the trials is to be in a new company.
    swarm = str(program.parent / "swarm")
    _try([[swarm, "init"]], environment=environment | {"SWARM_HOME": str(folder / "fresh")})
    suffix = f".{sys.implementation.cache_tag}.pyc"
    for path in sorted(kept.rglob(f"*{suffix}")):
        source = Path("/", path.relative_to(kept)).with_name(path.name.removesuffix(suffix))
        yield source.with_name(f"{source.name}.py"), path


def undocumented(tree: ast.Module) -> ast.Module:
    """Take the documentation out of a module, its classes and its functions.

    Each keeps a blank: some libraries add to what stands there, and count on something.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            blank = ast.copy_location(ast.Constant(" "), node.body[0])
            node.body[0] = ast.copy_location(ast.Expr(blank), node.body[0])
    return tree


def compile_to(source: Path, target: Path, compiled: Path | None) -> None:
    """Write a module's compiled file; nobody looks at the source's date, for it cannot change.

    Args:
        source: The module.
        target: Where it goes.
        compiled: What the trials compiled of it, taken as it is; None compiles it anew, without its
            documentation.

    Raises:
        SyntaxError: Not this Python's.
    """
    text = source.read_bytes()
    if compiled is None:
        tree = undocumented(ast.parse(text))
        code = marshal.dumps(compile(tree, str(source), "exec", dont_inherit=True))
    else:
        code = compiled.read_bytes()[_HEADER:]
    digest = importlib.util.source_hash(text)
    target.parent.mkdir(parents=True, exist_ok=True)
    unchecked = (0b01).to_bytes(4, "little")
    target.write_bytes(importlib.util.MAGIC_NUMBER + unchecked + digest + code)


def main() -> None:
    """Compile what the trials loaded, below the folder of the argument."""
    target = Path(sys.argv[1])
    ours = Path(sysconfig.get_path("purelib"), "swarm")
    with tempfile.TemporaryDirectory() as folder:
        found = [
            (source, Path(f"{target}{importlib.util.cache_from_source(str(source))}"),
             path if source.is_relative_to(ours) else None)
            for source, path in loaded(Path(sys.executable), Path(folder)) if source.is_file()
        ]  # fmt: skip
        # Some thousand modules, each by itself: all processors of the machine that builds.
        with ProcessPoolExecutor() as workers:
            for _ in workers.map(compile_to, *zip(*found, strict=True), chunksize=32):
                pass
        fresh = Path(f"{target}{ours}/store/fresh.db")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(folder, "fresh", "swarm.db"), fresh)
    sys.stdout.write(f"{len(found)} modules compiled\n")


if __name__ == "__main__":
    main()
