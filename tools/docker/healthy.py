"""Say whether the instance of this container works, by the age of its sign of life.

Started by the Docker daemon every half minute, so it loads next to nothing. Exit code 0 is healthy,
1 is not; the one line it prints appears in `docker inspect`.
"""

import os
import sys
import time

NAME = "heartbeat"
"""The worker touches this file of its home every ten seconds, as long as it takes work; one that
shares its home with workers on other hosts has the host's name behind it."""
MAX_AGE_S = 45


def main() -> int:
    """Look, and return the exit code."""
    home = os.environ.get("SWARM_HOME") or "/data"  # noqa: TID251  # runs without the program
    age = None
    for name in (f"{NAME}.{os.uname().nodename}", NAME):
        try:
            age = time.time() - os.stat(f"{home}/{name}").st_mtime  # noqa: PTH116  # loads pathlib
        except OSError:
            continue
        break
    if age is None:
        sys.stdout.write("nobody works in this home yet\n")
        return 1
    if age > MAX_AGE_S:
        sys.stdout.write(f"the last sign of life is {age:.0f} s old\n")
        return 1
    sys.stdout.write("works\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
