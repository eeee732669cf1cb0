"""Faces to a predictions table: the only home of torch and torchvision."""
