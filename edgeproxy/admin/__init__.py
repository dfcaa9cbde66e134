"""The control plane: status, metrics, purge."""
