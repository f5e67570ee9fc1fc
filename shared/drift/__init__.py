"""Drift: how far the rows that are scored lie from those that the model was trained on, and what follows from it."""
