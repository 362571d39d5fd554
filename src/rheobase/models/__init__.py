"""rheobase."""
