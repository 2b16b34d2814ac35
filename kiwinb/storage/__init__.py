"""Make disks and their nested contents without mounts or loop devices."""
