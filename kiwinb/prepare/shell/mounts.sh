# shellcheck shell=bash
# Mounts. A script finds /proc, /sys, /dev and /run mounted, and no mount outlives its step.

# mountProc: mount /proc, which it always is.
mountProc() {
    test -e /proc/self
}

# mountCgroups: control groups, for a container engine. Programs in a cage have none.
mountCgroups() {
    _kiwinb_say "scripts have no control groups; nothing is done"
}

# umountCgroups: the end of mountCgroups.
umountCgroups() {
    :
}

# setupContainerRuntime: let podman and its like work in a root tree.
setupContainerRuntime() {
    mkdir -p /etc/containers
    cat >/etc/containers/containers.conf <<-'END'
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "none"
	no_pivot_root = true
	END
    cat >/etc/containers/storage.conf <<-'END'
	[storage]
	driver = "vfs"
	graphroot = "/var/lib/containers/storage"
	runroot = "/var/run/containers/storage"
	END
}
