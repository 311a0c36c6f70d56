"""WhatsApp as a channel, over Meta's Cloud API.

`config` is what can be set, `door` takes webhooks in, `reading` turns them into messages,
`formatting` texts into bodies and buttons that fit, `errors` the platform's refusals into ours,
`vendor` is the SDK, `diagnosis` what is commonly wrong, and `channel` is the whole. The vendor's
library is imported when the channel first runs; it comes with the extra `whatsapp`.
"""
