"""The agent that runs on each access point's router; importing it imports nothing else."""

__version__ = "0.1.0"
