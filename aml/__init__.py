"""What runs inside Azure ML, for training and for serving alike; the function app imports `aml.contract` only."""
