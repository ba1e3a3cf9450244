"""Training scripts to read and to start from; each runs inside a job as `python3 -m trireme_worker.examples.NAME`.

They see only what user code sees: the environment that the agent sets, and `trireme_worker.report`.
"""
