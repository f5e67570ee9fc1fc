"""Scoring a table: read, plan, ask the endpoint, write in order, commit."""
