"""Carries out what `lifecycle` decides: reads caches, writes to the API server, knows no policy."""
