"""The command line: KIWI NG's commands and option names."""
