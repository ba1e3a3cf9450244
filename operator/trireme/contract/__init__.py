"""What the operator and the worker agree on. Stdlib only, Python >= 3.10: it travels in agent.pyz into any image."""
