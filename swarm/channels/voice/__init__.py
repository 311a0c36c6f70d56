"""Voice notes as text.

`base` is the port, `config` what can be set, `whisper` an engine on this machine. An engine is
loaded when the first note comes. To add one, write a file with a class that has `transcribe`.
"""
