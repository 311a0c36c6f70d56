"""Make the base image that the Dockerfile names, from Debian's packages and a Python of this machine.

The official image cannot be pulled everywhere. This one has the same shape: Debian bookworm without
documentation, Python below `/usr/local`, a certificate bundle. The bundle is this machine's own, so
that what downloads during a build trusts whatever this machine trusts.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
# What the modules of Python's standard library are linked with, and what slim images hold besides.
PACKAGES: Final = (
    "ca-certificates", "libbz2-1.0", "libffi8", "libgdbm6", "liblzma5", "libncursesw6",
    "libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "netbase", "tzdata", "zlib1g",
    # Its alternative, which is kept out below, brings all of Perl.
    "usr-is-merged",
)  # fmt: skip
# Debian's own Python, where this machine has none that can be moved.
DEBIAN_PYTHON: Final = ("python3", "python3-venv")
DEBIAN_VERSION: Final = "3.11"
WANTED: Final = "3.12"
BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLES: Final = (BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_UNSEEN: Final = ("doc", "man", "locale", "info", "lintian")
# Of a Python's library: what no program needs, and what was installed into it.
_LEFT_OUT: Final = ("test", "tests", "idlelib", "tkinter", "turtledemo", "site-packages", "*.a", "config-*", "__pycache__")  # fmt: skip
_KEPT_OUT: Final = r"Package: usrmerge\nPin: release *\nPin-Priority: -1\n"
_HOOK_FOLDER: Final = "/usr/share/mmdebstrap/hooks/merged-usr"
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PIP_CERT": BUNDLE,
    "SSL_CERT_FILE": BUNDLE,
}


class BaseFailedError(Exception):
    """No base image could be made; the text says why."""


def movable_python() -> Path | None:
    """Return the prefix of a Python `WANTED` that works from another folder, or None.

    One that a distribution put below `/usr` does not: its parts lie among everything else.
    """
    # Beside the Python that runs this, too: the home may be another one than who installed them.
    near = (Path.home() / ".pyenv" / "versions", Path(sys.base_prefix).parent)
    kept = [
        str(found)
        for folder in near
        for found in sorted(folder.glob(f"{WANTED}.*/bin/python{WANTED}"))
    ]
    for program in (f"/usr/local/bin/python{WANTED}", *kept, f"python{WANTED}"):
        found = subprocess.run(  # noqa: S603  # our own words
            [program, "-I", "-c", "import sys; print(sys.base_prefix)"],
            capture_output=True, text=True, check=False,
        ) if shutil.which(program) else None  # fmt: skip
        if found is not None and found.returncode == 0:
            prefix = Path(found.stdout.strip())
            if prefix != Path("/usr"):
                return prefix
    return None


def version(python: Path | None) -> str:
    """Return the version that the Dockerfile's `FROM` names for a base with this Python."""
    return WANTED if python else DEBIAN_VERSION


def changes() -> Iterator[str]:
    """Give the image's settings, as `docker import --change` takes them."""
    for name, value in _ENVIRONMENT.items():
        yield f"ENV {name}={value}"
    yield 'CMD ["python3"]'


def archive(python: Path | None, *, cache: Path | None) -> Path:
    """Return a tar archive of the base's files, made now or this week with the same recipe.

    Args:
        python: Prefix of the Python that goes to `/usr/local`; None takes Debian's.
        cache: Folder where archives are kept; None keeps none, and the caller removes the file.

    Raises:
        BaseFailedError: mmdebstrap is missing or failed; its last words are in the text.
    """
    if cache is None:
        target = Path(tempfile.mkdtemp(prefix="swarm-base-"), "base.tar")
        _make(python, target)
        return target
    target = cache / f"base-{_recipe(python)}.tar"
    if not target.exists():
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in cache.glob("base-*.tar"):
            old.unlink(missing_ok=True)
        unfinished = target.with_suffix(".unfinished")
        _make(python, unfinished)
        unfinished.replace(target)
    return target


def _recipe(python: Path | None) -> str:
    """Return a digest of what the base is made from; Debian's packages count by the week."""
    year, week, _ = datetime.datetime.now(datetime.UTC).isocalendar()
    parts = [Path(__file__).read_bytes(), bundle().read_bytes(), f"{year}-{week}".encode()]
    if python is not None:
        parts.append(f"{python} {(python / 'bin' / f'python{WANTED}').stat().st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[
        :16
    ]


def bundle() -> Path:
    """Return the certificates that this machine trusts.

    Raises:
        BaseFailedError: There are none.
    """
    for name in _BUNDLES:
        if Path(name).is_file():
            return Path(name)
    raise BaseFailedError(
        "this machine has no bundle of certificates: apt-get install ca-certificates"
    )


def _make(python: Path | None, target: Path) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise BaseFailedError("mmdebstrap is missing: apt-get install mmdebstrap")
    packages = PACKAGES if python else (*PACKAGES, *DEBIAN_PYTHON)
    with tempfile.TemporaryDirectory(prefix="swarm-base-") as folder:
        tree = Path(folder, "local")
        _furnish(tree, python)
        words = [
            program, "--quiet", "--variant=minbase", "--format=tar",
            f"--include={','.join(packages)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNSEEN),
            *_hooks(tree), SUITE, str(target),
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if done.returncode != 0:
        target.unlink(missing_ok=True)
        raise BaseFailedError(f"mmdebstrap failed: {done.stderr.strip()[-800:]}")


def _hooks(tree: Path) -> Iterator[str]:
    """Give what is done to the files before and after the packages come."""
    yield f"--hook-dir={_HOOK_FOLDER}"
    preferences = '"$1"/etc/apt/preferences.d'
    yield f"--setup-hook=mkdir -p {preferences} && printf '{_KEPT_OUT}' >{preferences}/merged"
    yield f'--customize-hook=copy-in "{tree}/." /usr/local'
    yield f'--customize-hook=upload "{bundle()}" {BUNDLE}'
    # Without it the interpreter does not find its own library.
    yield '--customize-hook=chroot "$1" ldconfig'
    yield '--customize-hook=rm -rf "$1"/var/cache/* "$1"/var/log/* "$1"/usr/share/doc "$1"/usr/share/locale'


def _furnish(tree: Path, python: Path | None) -> None:
    """Lay out what goes to `/usr/local`: a Python, or links to Debian's."""
    programs = tree / "bin"
    programs.mkdir(parents=True)
    if python is None:
        for name in ("python", "python3"):
            (programs / name).symlink_to("/usr/bin/python3")
        return
    shutil.copy2(python / "bin" / f"python{WANTED}", programs)
    for name in ("python", "python3"):
        (programs / name).symlink_to(f"python{WANTED}")
    for path in (python / "lib").glob("libpython3*.so*"):
        target = tree / "lib" / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    library = Path("lib", f"python{WANTED}")
    shutil.copytree(
        python / library, tree / library, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT)
    )
    (tree / library / "site-packages").mkdir()
    _strip(tree)


def _strip(tree: Path) -> None:
    """Take what only debuggers read out of the libraries, as official images do."""
    program = shutil.which("strip")
    if program is None:
        return
    found = [p for p in tree.rglob("*.so*") if p.is_file() and not p.is_symlink()]
    subprocess.run([program, "--strip-unneeded", *map(str, found)], check=False)  # noqa: S603  # our own words


if __name__ == "__main__":
    found = movable_python()
    sys.stdout.write(f"{archive(found, cache=Path(sys.argv[1]))}\n")
