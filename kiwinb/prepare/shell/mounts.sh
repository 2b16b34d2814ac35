# shellcheck shell=bash
# Mounts. A script finds /proc, /sys, /dev and /run mounted, and no mount outlives its step.

# mountProc: mount /proc if it is not.
mountProc() {
    if [ ! -e /proc/self ]; then
        mount -t proc proc /proc
    fi
}

# mountCgroups: mount the control groups, for a container engine, if they are not.
mountCgroups() {
    if compgen -G '/sys/fs/cgroup/*' >/dev/null; then
        return
    fi
    mount -t cgroup2 cgroup2 /sys/fs/cgroup && _kiwinb_cgroups=1
}

# umountCgroups: take away what mountCgroups has mounted.
umountCgroups() {
    if [ -n "${_kiwinb_cgroups-}" ]; then
        umount /sys/fs/cgroup && _kiwinb_cgroups=
    fi
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
