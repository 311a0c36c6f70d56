"""Telegram as a channel.

`config` is what can be set, `reading` turns updates into messages, `formatting` texts into HTML
that fits, `errors` the platform's refusals into ours, `webhook` is a door for updates that are
brought, and `channel` is the whole. The vendor's library is imported when the channel first runs.
"""
