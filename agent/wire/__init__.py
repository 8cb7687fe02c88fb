"""The contract on the wire: topics, messages and their schemas. No I/O, nothing of ours, the standard library only."""
