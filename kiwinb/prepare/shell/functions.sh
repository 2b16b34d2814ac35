# shellcheck shell=bash
# Functions for the scripts of an image description.

Echo() { echo "$*"; }

Debug() { echo "$*" >&2; }

# baseInsertService NAME: enable a service.
baseInsertService() { baseService "${1:?baseInsertService needs a service}" on; }

# baseRemoveService NAME: disable a service.
baseRemoveService() { baseService "${1:?baseRemoveService needs a service}" off; }

# baseService NAME on|off
baseService() {
    case ${2-} in
        on) systemctl enable "$1" ;;
        off) systemctl disable "$1" ;;
        *)
            echo "baseService: '${2-}' is neither on nor off" >&2
            return 1
            ;;
    esac
}

# baseSetRunlevel LEVEL|TARGET: the target that the system boots to.
baseSetRunlevel() {
    local target
    case ${1-} in
        1 | s | S) target=rescue.target ;;
        2 | 3 | 4) target=multi-user.target ;;
        5) target=graphical.target ;;
        *.target) target=$1 ;;
        *)
            echo "baseSetRunlevel: '${1-}' is no runlevel" >&2
            return 1
            ;;
    esac
    systemctl set-default "$target"
}
