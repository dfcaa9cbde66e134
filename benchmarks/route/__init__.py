"""What benchmarks/routing.py is made of: data, a world without sockets, one file a question."""
