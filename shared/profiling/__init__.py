"""How much a scoring endpoint can take, measured, and what follows for its size and the app's settings.

It belongs to the deployed package, unlike `benchmarks`: the question comes up where an endpoint is in the cloud, and
the requests must be those that the app sends. No function imports it.
"""
