"""Many simulated access points in few processes, by the agent's own report, outbox, post, broker and push code."""
