"""What the operator and the worker agree on. Stdlib only, Python >= 3.10: it travels inside agent.pyz into any image."""
