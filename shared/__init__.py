"""What runs inside the function app; scikit-learn is never imported here, azure-ai-ml by retraining alone."""
