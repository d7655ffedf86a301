"""Training many runs of one shape as one tensor program."""
