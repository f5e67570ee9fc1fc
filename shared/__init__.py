"""What runs inside the function app; scikit-learn is never imported here, azure-ai-ml by retraining alone."""

import os

# Read once, when pyarrow is imported: only so do its own buffers come from the system too, see `shared.memory`.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
