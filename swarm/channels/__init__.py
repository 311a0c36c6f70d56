"""The room of channels: where people write orders and hear back.

A channel is one module with a class that has the members of `base.Channel`, one line in
`registry.CHANNELS`, and the contract suite of `tests/contracts/test_channel.py`.
"""
