"""What benchmarks/ps.py is made of: what to measure, the processes, the figures, the plots."""
