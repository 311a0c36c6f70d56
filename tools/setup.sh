#!/bin/sh
# Make .venv hold exactly what the lock files say, and the project itself, editable.
#
#   tools/setup.sh run      what Swarm runs on, the embedded model included
#   tools/setup.sh dev      that, and what checks the code
#   tools/setup.sh system   the system's programs that some tests need
#   tools/setup.sh docker   what builds and runs the image: a Docker daemon, and Debian's builder of
#                           base images; `buildah` takes the daemon's place where none can run. Fails
#                           with a sentence where they are missing and cannot be installed
#   tools/setup.sh stamp L  print the file whose presence says that level L (run, dev) is done
#
# Needs a Python of 3.11 or newer and, the first time, the network. PYTHON=... names another Python.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
# Python must leave compiled files behind here: they make each later start several times faster.
unset PYTHONDONTWRITEBYTECODE

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# Everything that decides what is installed. The script counts too: it may learn a new step. So does
# the folder: an environment that was moved still points to where it was made.
stamp() {
    sum=$({ pwd -P; cat pyproject.toml requirements.lock requirements-dev.lock \
        requirements-build.lock tools/setup.sh; } | cksum | tr ' ' '-')
    printf '%s/.stamp-%s-%s\n' "$venv" "$1" "$sum"
}

# Install system packages where that needs no question, else print the line that would.
install_system() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $* with apt-get"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -q "$@" >/dev/null 2>&1 && return 0
        # A fresh image has no package lists.
        apt-get update -q >/dev/null 2>&1 || true
        apt-get install -y -q "$@" >/dev/null 2>&1 && return 0
        say "apt-get could not install $*"
    elif command -v apt-get >/dev/null 2>&1; then
        say "missing system packages; run: sudo apt-get install -y $*"
    else
        say "missing system packages; install them with this system's package manager: $*"
    fi
    return 1
}

# Whether $1 runs and its version lies from 3.11 up to but not including $2 (a tuple).
is_between() {
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < $2)" >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_between "$PYTHON" '(4,)' || die "PYTHON=$PYTHON is no Python of 3.11 or newer"
        printf '%s\n' "$PYTHON"
        return
    fi
    # The newest Python of all may still lack wheels, so it comes last.
    if is_between python3 '(3, 14)'; then echo python3; return; fi
    for name in python3.13 python3.12 python3.11 python3; do
        if is_between "$name" '(4,)'; then echo "$name"; return; fi
    done
    found=$(python3 --version 2>/dev/null || echo 'none')
    die "needs Python 3.11 or newer; python3 here: $found. Install one, or run: make setup PYTHON=/path/to/python3.12"
}

# A folder moved here from elsewhere has scripts that start the old place's Python.
# Where the path has a space, the second line of a script names it.
is_sound() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/bin/pip" ] &&
        head -n 2 "$venv/bin/pip" | grep -qF "$(pwd -P)/$venv/bin/" &&
        is_between "$venv/bin/python" '(4,)' && "$venv/bin/python" -c 'import pip' >/dev/null 2>&1
}

make_venv() {
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # Debian and Ubuntu keep these two modules in a package of their own.
        package=$(basename "$python")-venv
        install_system "$package" || die "$python cannot make a virtual environment without $package"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$(pwd -P)/$venv" || die "$python could not make $venv"
}

# uv is several times faster; pip knows mirrors, proxies and certificates that uv is not told of.
install_locked() {
    say "installing the packages of $1"
    quiet=--quiet
    if [ -t 2 ]; then quiet=; fi
    # No builds: a source package would run its code here and fetch unlocked tools to do so.
    if "$venv/bin/uv" pip sync $quiet --python "$venv/bin/python" --require-hashes --no-build \
        --compile-bytecode "$@"; then return; fi
    say "uv failed; trying again with pip"
    lists=
    for list in "$@"; do lists="$lists -r $list"; done
    # The lists are complete, so nothing needs to be resolved again.
    # shellcheck disable=SC2086 # the names of lock files have no spaces
    "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes --only-binary :all: $lists ||
        die "the locked packages could not be installed; once that is mended, run the same again"
}

install_project() {
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --offline --no-deps \
        --no-build-isolation --editable . || die "the project itself could not be installed"
    "$venv/bin/python" -m compileall -q -j 0 swarm || die "swarm/ has a file that does not compile"
}

install_level() {
    level=$1
    # Someone who checks the code keeps their tools when only an order is asked for.
    if [ "$level" = run ]; then
        for old in "$venv"/.stamp-dev-*; do if [ -e "$old" ]; then level=dev; fi; done
    fi
    is_sound || make_venv
    rm -f "$venv"/.stamp-*
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --only-binary :all: -r requirements-build.lock ||
        die "uv and hatchling could not be fetched; is the network up?"
    if [ "$level" = dev ]; then
        install_locked requirements-dev.lock
    else
        install_locked requirements.lock requirements-build.lock
    fi
    install_project
    : >"$(stamp "$level")"
    say "done; $venv/bin/swarm is ready"
}

case "${1:-} ${2:-}" in
"run " | "dev ")
    if [ -x "$venv/bin/python" ] && [ -e "$(stamp dev)" ]; then exit 0; fi
    if [ "$1" = run ] && [ -x "$venv/bin/python" ] && [ -e "$(stamp run)" ]; then exit 0; fi
    install_level "$1"
    ;;
"system ")
    missing=
    command -v strace >/dev/null 2>&1 || missing="$missing strace"
    command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
    ls /usr/lib/*/libseccomp.so.2 /lib/*/libseccomp.so.2 /usr/lib/libseccomp.so.2 \
        /usr/lib64/libseccomp.so.2 2>/dev/null | grep -q . || missing="$missing libseccomp2"
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 ||
        missing="$missing postgresql"
    # What a person may not want on a machine of theirs (a server that listens, a machine's first
    # start) goes where nobody lives; the tests that need it are skipped elsewhere, and say so.
    if [ "${CI:-}" = true ]; then
        PATH="$PATH:/usr/sbin:/sbin" command -v sshd >/dev/null 2>&1 || missing="$missing openssh-server"
        command -v ssh-keygen >/dev/null 2>&1 || missing="$missing openssh-client"
        command -v cloud-init >/dev/null 2>&1 || missing="$missing cloud-init"
        command -v docker-compose >/dev/null 2>&1 || missing="$missing docker-compose"
    fi
    # Without them their tests are skipped, which is no reason to run none. macOS has neither.
    # shellcheck disable=SC2086 # one word for each package
    if [ -n "$missing" ] && [ "$(uname -s)" = Linux ]; then install_system $missing || true; fi
    ;;
"docker " | "buildah ")
    missing=
    # One that is there, whoever packaged it, is left as it is.
    if [ "$1" = docker ]; then
        PATH="$PATH:/usr/sbin:/sbin" command -v dockerd >/dev/null 2>&1 || missing="docker.io"
    else
        command -v buildah >/dev/null 2>&1 || missing="buildah"
    fi
    command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
    if [ -n "$missing" ] && [ "$(uname -s)" != Linux ]; then
        die "a daemon of its own runs on Linux alone; here, \`make image\` builds with your Docker"
    fi
    # shellcheck disable=SC2086 # one word for each package
    if [ -n "$missing" ]; then
        install_system $missing || die "without them the real image cannot be built and tried here"
    fi
    ;;
"stamp run" | "stamp dev") stamp "$2" ;;
*) die "usage: tools/setup.sh run | dev | system | docker | buildah | stamp run | stamp dev" ;;
esac
