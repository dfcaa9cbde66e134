"""What benchmarks/routing.py is made of: data, a world without sockets, and one file for each question asked of it."""
