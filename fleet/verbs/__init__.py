"""The verbs of rwctl, one in each file."""
