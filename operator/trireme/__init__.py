"""Trireme: a Kubernetes operator for distributed deep-learning training.

Read it downwards: cli -> controller, pocket -> cluster -> lifecycle -> plan -> spec -> contract (docs/walkthrough.md).
"""

__version__ = "0.1.0"
