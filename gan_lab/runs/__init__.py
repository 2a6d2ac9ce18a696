"""A run's folder: its settings and name, lock, checkpoints, records, status and provenance; written and read back."""
