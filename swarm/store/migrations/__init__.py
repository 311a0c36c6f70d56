"""Schema changes, oldest first; each is a file in `versions/`."""
