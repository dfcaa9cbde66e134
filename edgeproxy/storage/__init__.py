"""Where responses are kept: a RAM tier over a disk tier, with one index and purge sequences."""
