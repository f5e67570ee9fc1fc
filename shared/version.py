"""The app's version, as `GET /health` and the manifests say it."""

VERSION = "0.1.0"
