"""The algebra of Kubernetes objects: pure functions on plain JSON values, with no clock, no I/O and no HTTP."""
