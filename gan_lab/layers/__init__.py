"""What networks share: normalization, initialization, resampling, and checks of what they are asked to make."""
