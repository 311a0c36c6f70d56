"""The room of the farm: where instances of the company live.

A place is one module with a class that has the verbs of `base.Driver`; the contract suite is
`tests/contracts/test_farm.py`. Only the fake exists so far.
"""
