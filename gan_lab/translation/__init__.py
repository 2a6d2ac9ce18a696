"""Pictures of any size through a trained translator: how they are read, and in what parts a network sees them."""
