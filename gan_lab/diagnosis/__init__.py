"""What `python -m gan_lab.doctor` looks at: a module per subject, and all checks in order in `checks`."""
