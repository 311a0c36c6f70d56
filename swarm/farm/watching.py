"""Wait inside a container for a sign of life that is its own."""

WATCH = """\
import os, sys, time
path = os.path.join(os.environ.get("SWARM_HOME") or "/data", "heartbeat")
with open("/proc/uptime") as up, open("/proc/1/stat") as first:
    ticks = int(first.read().rpartition(")")[2].split()[19])
    born = time.time() - float(up.read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK")
until = time.monotonic() + 3
while True:
    try:
        if os.stat(path).st_mtime >= born:
            sys.exit(0)
    except OSError:
        pass
    if time.monotonic() > until:
        sys.exit(1)
    time.sleep(0.05)
"""
"""Waits a little inside for a sign of life that is younger than the container: an older one is its
predecessor's. Looking from outside would start a process for each look."""
