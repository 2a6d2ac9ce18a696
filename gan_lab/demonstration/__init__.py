"""A trained generator on a page of this machine, for a person to play with."""
