"""What runs inside the function app. Nothing here imports scikit-learn, and only `shared.retraining.workspace` azure-ai-ml."""
