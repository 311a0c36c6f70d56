"""The room of agents: a role at work on one task, and the questions a role is asked.

`agent.py` is the step loop; `decide.py` asks for a decision that fits a schema; `prompt.py` writes
what a role is told. Nothing here knows which roles exist.
"""
