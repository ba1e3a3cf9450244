"""What the user said: documents, the typed model, its checks, its CRD. Knows nothing of plans, pods or the API."""
