"""A library is loaded without what it knows how to live without; nobody else misses anything."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.core.importing import importing_without

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = """
try:
    import an_extra
except ImportError:
    an_extra = None
has_extra = an_extra is not None
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that uses another one if it is there, which it is."""
    (tmp_path / "a_library.py").write_text(LIBRARY)
    (tmp_path / "an_extra").mkdir()
    (tmp_path / "an_extra" / "__init__.py").write_text("from an_extra import part")
    (tmp_path / "an_extra" / "part.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("a_library", "an_extra", "an_extra.part"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("library")
def test_what_is_left_out_is_there_for_whoever_asks_later() -> None:
    finders = list(sys.meta_path)
    with importing_without("an_extra"):
        import a_library  # type: ignore[import-not-found]
    assert not a_library.has_extra
    assert sys.meta_path == finders
    import an_extra.part  # type: ignore[import-not-found]

    assert an_extra.part in sys.modules.values()


@pytest.mark.usefixtures("library")
def test_another_thread_that_imports_at_the_same_moment_finds_everything() -> None:
    found: list[bool] = []

    def elsewhere() -> None:
        import a_library

        found.append(a_library.has_extra)

    with importing_without("an_extra"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found == [True]


def test_who_listens_to_telegram_loads_neither_passports_nor_a_second_http() -> None:
    script = (
        "import sys, swarm.channels.telegram.vendor as v\n"
        "print(*sorted({'click', 'cryptography', 'h2', 'pygments', 'rich'} & set(sys.modules)))\n"
        "import cryptography.hazmat.primitives.asymmetric.ed25519, h2.connection\n"
        "v.httpx.AsyncClient(http2=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split() == []
