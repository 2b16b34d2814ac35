# shellcheck shell=bash
# Make the kernel smaller. /kernel-tree is a copy of /lib/modules from which modules are removed;
# what those that stay depend on is brought back from /lib/modules before that is replaced.

# _kiwinb_modules DIRECTORY…: print the module files below, each ended by NUL.
_kiwinb_modules() {
    find "$@" -type f \( -name '*.ko' -o -name '*.ko.gz' -o -name '*.ko.xz' -o -name '*.ko.zst' \) \
        -print0
}

# _kiwinb_kernels DIRECTORY: print the releases of the kernels that have modules in it.
_kiwinb_kernels() {
    local directory
    for directory in "$1"/*; do
        if [ -d "$directory/kernel" ]; then
            echo "${directory##*/}"
        fi
    done
}

# baseCreateKernelTree: copy /lib/modules to /kernel-tree.
baseCreateKernelTree() {
    _kiwinb_in_tree || return
    mkdir -p /kernel-tree
    if compgen -G '/lib/modules/*' >/dev/null; then
        cp -a --reflink=auto /lib/modules/* /kernel-tree/
    fi
}

# baseSyncKernelTree: replace /lib/modules by /kernel-tree.
baseSyncKernelTree() {
    _kiwinb_in_tree || return
    if ! compgen -G '/kernel-tree/*' >/dev/null; then
        _kiwinb_say "there is nothing in /kernel-tree, so /lib/modules stays as it is"
        return
    fi
    rm -rf /lib/modules/* && mv /kernel-tree/* /lib/modules/ && rmdir /kernel-tree
}

# baseKernelDriverMatches MODULE: whether one of kiwi_drivers, as a part of the path, as a pattern of
# the shell or as a regular expression, fits the path of a module.
baseKernelDriverMatches() {
    local module=${1:?baseKernelDriverMatches needs a module} pattern patterns
    IFS=', ' read -r -a patterns <<<"${kiwi_drivers-}"
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053
        if [[ $module == *$pattern* ]] || { [[ $module =~ $pattern ]]; } 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

# baseStripKernelModules: remove from /kernel-tree the modules that kiwi_drivers does not name.
baseStripKernelModules() {
    local kernel module doomed=()
    _kiwinb_in_tree || return
    if [ -z "${kiwi_drivers-}" ]; then
        _kiwinb_say "the description names no drivers to keep, so all are kept"
        return
    fi
    for kernel in $(_kiwinb_kernels /kernel-tree); do
        while IFS= read -r -d '' module; do
            if ! baseKernelDriverMatches "$module"; then
                doomed+=("$module")
            fi
        done < <(_kiwinb_modules "/kernel-tree/$kernel/kernel")
    done
    if [ ${#doomed[@]} != 0 ]; then
        printf 'removing %s\n' "${doomed[@]}"
        printf '%s\0' "${doomed[@]}" | xargs -0 rm -f --
    fi
}

# baseFixupKernelModuleDependencies: bring back to /kernel-tree what its modules depend on, as
# modules.dep and modules.softdep of /lib/modules say it.
baseFixupKernelModuleDependencies() {
    local kernel from to line module file needed
    _kiwinb_in_tree || return
    for kernel in $(_kiwinb_kernels /kernel-tree); do
        from=/lib/modules/$kernel to=/kernel-tree/$kernel
        if [ ! -f "$from/modules.dep" ]; then
            _kiwinb_say "there is no $from/modules.dep: depmod has not run"
            continue
        fi
        # Each line names all that a module needs, further needs included.
        while IFS= read -r line; do
            module=${line%%:*}
            if [ ! -f "$to/$module" ]; then
                continue
            fi
            read -r -a needed <<<"${line#*:}"
            for file in "${needed[@]}"; do
                if [ ! -f "$to/$file" ] && [ -f "$from/$file" ]; then
                    echo "$module needs $file"
                    mkdir -p "$to/${file%/*}"
                    cp -a --reflink=auto "$from/$file" "$to/$file"
                fi
            done
        done <"$from/modules.dep"
    done
}

# baseStripModules: where a module came as an update, remove the one that came with the kernel.
baseStripModules() {
    local kernel module name directory
    local -A updated
    _kiwinb_in_tree || return
    for kernel in $(_kiwinb_kernels /lib/modules); do
        directory=/lib/modules/$kernel
        updated=()
        if [ -d "$directory/updates" ]; then
            while IFS= read -r -d '' module; do
                name=${module##*/}
                updated[${name%%.ko*}]=1
            done < <(_kiwinb_modules "$directory/updates")
        fi
        while IFS= read -r -d '' module; do
            name=${module##*/}
            if [[ $module != "$directory/updates/"* && -n ${updated[${name%%.ko*}]-} ]]; then
                echo "removing $module, of which there is an update"
                rm -f -- "$module"
            fi
        done < <(_kiwinb_modules "$directory")
    done
}

# baseUpdateModuleDependencies: run depmod for each kernel.
baseUpdateModuleDependencies() {
    local kernel map
    for kernel in $(_kiwinb_kernels /lib/modules); do
        map=/boot/System.map-$kernel
        # Debian's map is a note that the real one is elsewhere.
        if [ -f "$map" ] && grep -q '^[0-9a-f]\{8,\} ' "$map"; then
            depmod -F "$map" "$kernel" || return
        else
            depmod "$kernel" || return
        fi
    done
}

# _kiwinb_needed_firmware: print the names, and patterns of names, of the firmware that the kernels
# and their modules ask for.
_kiwinb_needed_firmware() {
    local builtin
    _kiwinb_modules /lib/modules/ | xargs -0 -r modinfo -F firmware
    for builtin in /lib/modules/*/modules.builtin.modinfo; do
        if [ -f "$builtin" ]; then
            tr '\0' '\n' <"$builtin" | sed -n 's/^[^.=]*\.firmware=//p'
        fi
    done
}

# baseStripFirmware: remove the firmware that no kernel and no module asks for, but for licences.
baseStripFirmware() {
    local file name target doomed=() patterns=()
    local -A needed=() kept=()
    _kiwinb_in_tree || return
    if [ ! -d /lib/firmware ]; then
        return
    fi
    if [ -z "$(_kiwinb_kernels /lib/modules)" ] || ! command -v modinfo >/dev/null; then
        _kiwinb_say "without modules and modinfo nobody knows what is needed: all is kept"
        return
    fi
    while IFS= read -r name; do
        if [[ $name == *[*?[]* ]]; then
            patterns+=("$name")
        else
            needed[${name:-.}]=1
        fi
    done < <(_kiwinb_needed_firmware)
    while IFS= read -r -d '' file; do
        if _kiwinb_is_needed_firmware "${file#/lib/firmware/}"; then
            kept[$(realpath -m "$file")]=1
        else
            doomed+=("$file")
        fi
    done < <(find /lib/firmware/ ! -type d -print0)
    for file in "${doomed[@]}"; do
        # What a link that stays points to stays, too.
        target=$(realpath -m "$file")
        if [[ -L $file || -z ${kept[$target]-} ]]; then
            echo "removing $file"
            rm -f -- "$file"
        fi
    done
    find /lib/firmware/ -xtype l -delete
    find /lib/firmware/ -mindepth 1 -type d -empty -delete
}

# _kiwinb_is_needed_firmware FILE: whether this file below /lib/firmware is asked for; the kernel
# looks in directories for updates and for its own release as well. Uses needed and patterns of
# baseStripFirmware.
_kiwinb_is_needed_firmware() {
    local file=$1 pattern short
    case ${file##*/} in
        LICEN[CS]E* | *.txt) return 0 ;;
    esac
    file=${file%.xz}
    file=${file%.zst}
    file=${file%.gz}
    short=${file#*/}
    if [[ -n ${needed[$file]-} || -n ${needed[$short]-} ]]; then
        return 0
    fi
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053
        if [[ $file == $pattern || $short == $pattern ]]; then
            return 0
        fi
    done
    return 1
}

# baseStripKernel: delete what kiwi_strip_delete names, and make modules and firmware as few as
# kiwi_drivers asks for.
baseStripKernel() {
    local name names doomed=()
    _kiwinb_in_tree || return
    if [ "${kiwi_initrd_system-}" = dracut ]; then
        _kiwinb_say "dracut chooses what its initrd needs, so there is nothing to strip"
        return
    fi
    read -r -d '' -a names <<<"${kiwi_strip_delete-}" || true
    for name in "${names[@]}"; do
        mapfile -t -O ${#doomed[@]} doomed < <(compgen -G "/${name#/}")
    done
    _kiwinb_delete "${doomed[@]}"
    if [ -z "$(_kiwinb_kernels /lib/modules)" ]; then
        _kiwinb_say "there is no kernel in the tree"
        return
    fi
    baseCreateKernelTree \
        && baseStripKernelModules \
        && baseFixupKernelModuleDependencies \
        && baseSyncKernelTree \
        && baseStripModules \
        && baseStripFirmware \
        && baseUpdateModuleDependencies
}

suseStripKernel() { baseStripKernel; }
