"""The room of the terminal: one command for each thing a person or a program can ask.

`entry.py` holds the table of commands and turns errors into sentences and exit codes;
`commands.py` says what each command takes; the modules beside it do the work and are imported
only when their command runs. A new command is a line in the table, a function in `commands.py`
and a function that works.
"""

from swarm.cli.entry import main

__all__ = ["main"]
