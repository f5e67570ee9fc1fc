"""Retraining: a run record per dataset version, moved one idempotent step at a time by whoever looks at it."""
