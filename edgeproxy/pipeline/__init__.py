"""The path of a request: plan, look up, decide, serve or fill, answer."""
