"""Measurements with printed numbers; nothing here is asserted."""
