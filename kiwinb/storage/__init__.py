"""Storage: what a disk is made of, nested; made and filled without mounts and loop devices."""
