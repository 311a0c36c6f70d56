"""End a sandbox whose owner is killed while it is being made.

Bubblewrap binds itself to whoever started it, and its first process inside to itself, each a moment
after it began. An owner that is killed in between would leave one that waits, or works, for ever.
So beside each stands a small process of the system's own shell: it waits for the owner's word, and
where the owner ends without one, it ends all that carry the sandbox's sign.
"""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PROGRAMS = "/usr/bin:/bin"
_SIGN = "swarm-sandbox-"
# The pipe ends for all when its owner is gone, and every fork of it too. `$0` is the sign, written
# such that the search does not find itself. What forks meanwhile, or has no arguments yet because
# its program is just being loaded, is found in a later round: the last twenty found nothing.
_SCRIPT = """
read -r _ && exit
none=0 left=400
while [ $none -lt 20 ] && [ $((left -= 1)) -gt 0 ]; do
    found=$(grep -ls -e "$0" /proc/[0-9]*/cmdline)
    none=$((none + 1))
    for path in $found; do
        none=0
        path=${path#/proc/}
        kill -9 "${path%/cmdline}"
    done
    sleep 0.05
done
"""


@asynccontextmanager
async def guarded() -> AsyncIterator[str]:
    """Give a sign that all processes of a sandbox are to carry among their arguments.

    Where this process ends inside the block, however it does, whatever carries the sign is killed.
    """
    sign = secrets.token_hex(12)
    guard = _start(sign)
    assert guard.stdin is not None
    try:
        yield _SIGN + sign
    finally:
        with suppress(BrokenPipeError):
            guard.stdin.write(b"\n")
        with suppress(BrokenPipeError):
            guard.stdin.close()
        await asyncio.to_thread(guard.wait)


def _start(sign: str) -> "subprocess.Popen[bytes]":
    """Start the guard, which takes a millisecond."""
    return subprocess.Popen(  # noqa: S603  # every word is ours
        ["/bin/sh", "-c", _SCRIPT, f"[{_SIGN[0]}]{_SIGN[1:]}{sign}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": _PROGRAMS},
        cwd="/",
        # Whoever ends our group, as a terminal does, must not end it too.
        start_new_session=True,
    )
