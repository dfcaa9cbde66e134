"""Bytes to Request, Response to bytes. Knows only Handler."""
