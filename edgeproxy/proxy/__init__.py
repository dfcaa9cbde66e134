"""The forward proxy: who may go where, tunnels, and hosts that are answered here under their own name."""
