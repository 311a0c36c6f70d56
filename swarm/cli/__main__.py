"""Run the terminal as `python -m swarm.cli`."""

import sys

from swarm.cli.entry import main

sys.exit(main())
