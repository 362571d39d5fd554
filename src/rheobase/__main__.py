"""`python -m rheobase` is the `rheobase` command."""

from rheobase.cli.main import run

if __name__ == "__main__":
    run()
