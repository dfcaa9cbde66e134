"""What the node knows about what it serves. A site does no I/O: it returns what it wants."""
