"""What a job needs: from the typed job to plain Kubernetes manifests. Pure; knows no cluster and no clock."""
