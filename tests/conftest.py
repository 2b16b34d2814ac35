"""What all tests start from."""

import signal

pytest_plugins = ["shell_tree"]  # its fixtures: seed, tree

# Whoever starts the tests in the background has them ignore signals that some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
