# shellcheck shell=bash
# Services.

# baseSystemdServiceInstalled NAME: print the path of a unit; NAME may leave out .service or .mount.
baseSystemdServiceInstalled() {
    local name=${1:?baseSystemdServiceInstalled needs a service} directory file
    local template=$name
    if [[ $name == *@* ]]; then
        template=${name%%@*}@
        [[ $name == *.* ]] && template+=.${name##*.}
    fi
    for directory in /usr/lib/systemd/system /lib/systemd/system /etc/systemd/system \
        /run/systemd/system; do
        for file in {"$name","$template"}{.service,.mount}; do
            if [ -f "$directory/$file" ]; then
                echo "$directory/$file"
                return
            fi
        done
        for file in "$name" "$template"; do
            if [[ $file == *.* && -f $directory/$file ]]; then
                echo "$directory/$file"
                return
            fi
        done
    done
}

# baseSysVServiceInstalled NAME: print the name if it is an init script.
baseSysVServiceInstalled() {
    if [ -x "/etc/init.d/${1:?baseSysVServiceInstalled needs a service}" ]; then
        echo "$1"
    fi
}

# baseSystemdCall NAME ARGUMENT…: systemctl ARGUMENT… NAME, if there is such a service.
baseSystemdCall() {
    local name=${1:?baseSystemdCall needs a service} unit
    shift
    unit=$(baseSystemdServiceInstalled "$name")
    if [ -L "$unit" ] && [[ $unit != *@.* ]]; then
        # Debian's sshd.service is another name of ssh.service, which systemctl does not enable.
        unit=$(realpath "$unit")
        name=${unit##*/}
    fi
    if [[ $unit == *.mount ]]; then
        systemctl "$@" "${name%.mount}.mount"
    elif [[ -n $unit || -n $(baseSysVServiceInstalled "$name") ]]; then
        systemctl "$@" "$name"
    else
        _kiwinb_say "there is no service $name in the tree: not done: systemctl $*"
    fi
}

# baseInsertService NAME: enable a service.
baseInsertService() {
    baseSystemdCall "${1:?baseInsertService needs a service}" enable
}

# baseRemoveService NAME: disable a service.
baseRemoveService() {
    baseSystemdCall "${1:?baseRemoveService needs a service}" disable
}

# baseService NAME on|off: enable or disable a service.
baseService() {
    local name=${1:?baseService needs a service}
    case ${2-} in
        on) baseInsertService "$name" ;;
        off) baseRemoveService "$name" ;;
        *)
            _kiwinb_say "'${2-}' is neither on nor off"
            return 1
            ;;
    esac
}

suseInsertService() { baseInsertService "$@"; }

suseRemoveService() { baseRemoveService "$@"; }

suseService() { baseService "$@"; }

# baseSetRunlevel LEVEL|TARGET: what the system starts by default.
baseSetRunlevel() {
    local target directory
    case ${1-} in
        [1-4]) target=multi-user.target ;;
        5) target=graphical.target ;;
        *.target) target=${1##*/} ;;
        *)
            _kiwinb_say "'${1-}' is no runlevel and no target"
            return 1
            ;;
    esac
    for directory in /usr/lib/systemd/system /lib/systemd/system /etc/systemd/system; do
        if [ -e "$directory/$target" ]; then
            mkdir -p /etc/systemd/system
            ln -sfn "$directory/$target" /etc/systemd/system/default.target
            return
        fi
    done
    _kiwinb_say "there is no $target in the tree"
    return 1
}
