# shellcheck shell=bash
# Functions for the scripts of an image description. They need bash.
if [ -z "${BASH_VERSION-}" ]; then
    echo "/.kconfig needs bash: start the script with #!/bin/bash" >&2
    exit 1
fi
export LANG=C LC_ALL=C.UTF-8

# Echo [-b] [-n] [-e] TEXT…: a message for the log. -b: go on with the message before;
# -n and -e as for echo.
Echo() {
    local option OPTIND=1 start='==> ' flags=()
    while getopts bne option; do
        case $option in
            b) start='    ' ;;
            n | e) flags+=("-$option") ;;
            *) return 1 ;;
        esac
    done
    shift $((OPTIND - 1))
    echo "${flags[@]}" "$start$*"
}

# Debug TEXT…: a message for the log when DEBUG is 1.
Debug() {
    if [ "${DEBUG-}" = 1 ]; then
        echo "debug: ${FUNCNAME[1]-script}: $*" >&2
    fi
}

# Rm ARGUMENT…: rm, with a line in the log.
Rm() {
    echo "rm $*" >&2
    rm "$@"
}

# deprecated NAME: say that a function does nothing; the reason comes from standard input.
deprecated() {
    echo "$1 does nothing: $(cat)" >&2
}

# _kiwinb_say TEXT…: a remark of the function that calls it.
_kiwinb_say() {
    echo "${FUNCNAME[1]}: $*" >&2
}

# _kiwinb_in_tree: fail outside of a root tree, where a function that deletes would hit the host.
_kiwinb_in_tree() {
    if [ ! -e /.kconfig ]; then
        echo "${FUNCNAME[1]}: this is not the root tree of an image; nothing is done" >&2
        return 1
    fi
}

# _kiwinb_matches NAME PATTERN…: whether one of the patterns, regular expressions that may match
# anywhere in it, fits the name.
_kiwinb_matches() {
    local name=$1 pattern
    shift
    for pattern; do
        if [[ -n $pattern && $name =~ $pattern ]]; then
            return 0
        fi
    done
    return 1
}
