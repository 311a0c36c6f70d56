"""Run the terminal as `python -m swarm`."""

import sys

from swarm.cli.entry import main

sys.exit(main())
