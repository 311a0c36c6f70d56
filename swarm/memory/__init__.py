"""The room of memory: what the company remembers of past orders and of the founder's taste.

Another memory is one module with a class that has the methods of `base.Memory`; the contract
suite is `tests/contracts/test_memory.py`.
"""
