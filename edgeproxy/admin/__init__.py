"""The control plane, on a listener of its own.

views     what the API needs of the node: NodeViews
server    AdminServer: listens, starts, stops; application: answers, loaded when clients are served already
guard     who may ask: token, Host, Origin
api       the routes under /api/v1, /healthz, /readyz
metrics   Prometheus text from edgeproxy.metrics
explain   an explanation of one exchange as a dictionary
status    the store and the traffic as dictionaries
versions  which libraries this process runs"""
