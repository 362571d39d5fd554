"""The `rheobase` command, one file per sub-command; what needs torch is imported when a command runs, so help comes at once."""
