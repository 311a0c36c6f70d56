"""Orders recorded, played again offline, and judged.

`cassette.py` is the format, `recording.py` writes one from what a company's database holds,
`replaying.py` plays it through the app as it runs in production; only models, outside tools, clock
and ids come from the recording.
"""
