"""The room of sandboxes: where a tool's command runs, cut off from the machine.

No tool of today runs commands; `doctor` already says whether a sandbox would hold here. Another
sandbox is one module with the methods of `base.Sandbox`; `tests/contracts/test_sandbox.py` holds.
"""
