"""Words that travel between the rooms: frozen values, errors, clock and ids.

Nothing here knows a vendor, a table or a file. A new word is one small module; import it from
that module, so that a short command does not pay for words it never says.
"""
