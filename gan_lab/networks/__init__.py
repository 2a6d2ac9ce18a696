"""Generators and discriminators: tensors in, tensors out; no loss, no optimizer."""
