"""`python -m edgeproxy` is `edgeproxy`."""

from edgeproxy.cli.main import main

main()
