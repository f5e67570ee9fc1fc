"""A Functions host for machines without Azure Functions Core Tools.

It runs an app folder's `function_app.py` (Python v2 model) in process and plays both parts of the platform: the worker
(indexing, converters, invocation) and the host (HTTP routes, timers, queue and blob triggers with their receipts,
leases, retries and poison queues). `python -m local.functions --app .` starts it, `local.functions.launch` does so
from Python.
"""
