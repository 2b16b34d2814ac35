"""What all tests start from."""

import signal

# Whoever starts the tests in the background has them ignore interrupts, which some send.
signal.signal(signal.SIGINT, signal.default_int_handler)
