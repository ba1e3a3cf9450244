"""Effects on a Kubernetes API: client, informer, work queue. The only importer of `kubernetes`; knows nothing of what a
job is, beyond the shape of the records it fills."""
