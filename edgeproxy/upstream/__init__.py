"""Asking others: one interface, libcurl behind it, names resolved by our own resolver."""
