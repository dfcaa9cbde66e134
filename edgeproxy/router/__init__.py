"""Which node should serve a client: pure decisions over values, and the tables they rest on."""
