"""What can be done with the latents of a trained generator: walks, directions, and latents of given pictures."""
