"""The room of sandboxes: where a tool's command runs, cut off from the machine.

`choose.choose()` finds the one that holds here: `bubblewrap` where namespaces can be made,
`landlock` in a plain container. `guest.py` follows a running command and `watch.py` counts what it
uses, for both; `guard.py` ends a bubblewrap whose owner was killed; `escape.py` and `probes.py` are
the self-test. `launcher.py`, `supervise.py` and `confine.py` run in processes of their own, below
`landlock.py`. Another sandbox is one module with the methods of `base.Sandbox` and one line in
`registry.py`; `tests/contracts/test_sandbox.py` holds.
"""
