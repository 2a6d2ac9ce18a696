"""gan_lab: train, compare and trust GANs, from a laptop to a SLURM cluster."""

__version__ = "0.1.0"
