"""The pocket's kubelet: an ordinary API client that runs each container of its node's pods as a local process group."""
