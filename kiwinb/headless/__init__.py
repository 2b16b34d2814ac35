"""Recipe notebooks, executed with nobody in front of them; one module per part of a run."""
