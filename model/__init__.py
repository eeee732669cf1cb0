"""Faces to a predictions table: the only home of torch and torchvision."""

import os

# onnxruntime 1.32 keeps an id of the machine in the home and holds the address of its maker, to
# report there. It asks this once, when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
