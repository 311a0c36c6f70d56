"""Slack as a channel, over Socket Mode: no public address is needed.

`config` is what can be set, `reading` turns payloads into messages, `formatting` texts into blocks
that fit, `errors` the platform's refusals into ours, `vendor` is the SDK, `diagnosis` what is
commonly wrong, and `channel` is the whole. The vendor's library is imported when the channel first
runs; it comes with the extra `slack`.
"""
