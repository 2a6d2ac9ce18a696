"""Trained generators for Python: `load_generator`, without a data set, a logger or a network."""

from gan_lab.runs.checkpoint import CheckpointError, LoadedGenerator, load_generator

__all__ = ["CheckpointError", "LoadedGenerator", "load_generator"]
