"""One policy, one short file, one table test."""
