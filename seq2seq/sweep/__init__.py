"""Sweeps: which jobs there are, which are missing, and how they ended."""
