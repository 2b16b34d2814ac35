"""``python -m kiwinb``."""

from kiwinb.cli import main

main()
