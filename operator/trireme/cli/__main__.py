"""`python -m trireme.cli`, where the console script is not on PATH."""

from trireme.cli.main import main

main(prog_name="trireme")
