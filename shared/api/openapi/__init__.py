"""The app's own description, by OpenAPI: made of the routes as they are registered, never written by hand."""

from shared.api.openapi.document import Route, document

__all__ = ["Route", "document"]
