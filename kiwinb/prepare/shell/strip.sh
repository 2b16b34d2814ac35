# shellcheck shell=bash
# Make the tree smaller.

# baseStripAndKeep PATTERN…: remove the files and directories that standard input lists, one a line,
# but for those whose name a pattern matches.
baseStripAndKeep() {
    local file patterns doomed=()
    _kiwinb_in_tree || return
    read -r -d '' -a patterns <<<"$*" || true
    while IFS= read -r file; do
        if [ -n "$file" ] && ! _kiwinb_matches "${file##*/}" "${patterns[@]}"; then
            doomed+=("$file")
        fi
    done
    _kiwinb_delete "${doomed[@]}"
}

# _kiwinb_delete PATH…: delete what is there, but neither the root nor anything in the file systems
# that are mounted while the tree is prepared. A symbolic link is deleted itself.
_kiwinb_delete() {
    local path given place number=0 parents doomed=()
    if [ $# = 0 ]; then
        return
    fi
    mapfile -d '' -t parents < <(
        printf '%s\0' "$@" | xargs -0 dirname -z -- | xargs -0 realpath -mz --
    )
    for given; do
        path=$given
        place=${parents[number]%/}
        number=$((number + 1))
        while [[ $path == */ ]]; do
            path=${path%/}
        done
        place+=/${path##*/}
        case $place in
            / | */. | */.. | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/*)
                _kiwinb_say "$given is not deleted"
                ;;
            *) doomed+=("$place") ;;
        esac
    done
    if [ ${#doomed[@]} != 0 ]; then
        printf 'rm %s\n' "${doomed[@]}" >&2
        printf '%s\0' "${doomed[@]}" | xargs -0 rm -rf --one-file-system --
    fi
}

# baseStripLocales LOCALE…: remove all locales but these and C.
baseStripLocales() {
    local keep
    _kiwinb_in_tree || return
    read -r -d '' -a keep <<<"$*" || true
    keep=('^C([.]|$)' '^POSIX$' "${keep[@]//UTF-8/utf8}")
    if [ -d /usr/lib/locale ]; then
        find /usr/lib/locale -mindepth 1 -maxdepth 1 -type d | baseStripAndKeep "${keep[@]}"
    fi
    if [ -f /usr/lib/locale/locale-archive ]; then
        if [ -f /etc/locale.gen ] && command -v locale-gen >/dev/null; then
            _kiwinb_generate_locales "${keep[@]}"
        elif command -v localedef >/dev/null; then
            _kiwinb_delete_locales "${keep[@]}"
        fi
    fi
}

# _kiwinb_generate_locales PATTERN…: make the archive of Debian or Arch anew, with less in it.
_kiwinb_generate_locales() {
    local line text='' changed=''
    while IFS= read -r line || [ -n "$line" ]; do
        if [[ $line =~ ^[[:alpha:]] ]] && ! _kiwinb_matches "${line//UTF-8/utf8}" "$@"; then
            line="# $line"
            changed=1
        fi
        text+=$line$'\n'
    done </etc/locale.gen
    if [ -n "$changed" ]; then
        printf %s "$text" >/etc/locale.gen
        rm -f /usr/lib/locale/locale-archive
        locale-gen
    fi
}

# _kiwinb_delete_locales PATTERN…: delete from the archive. It only shrinks where Fedora's
# build-locale-archive, or nothing, is left to write.
_kiwinb_delete_locales() {
    local archive=/usr/lib/locale/locale-archive name names left=0
    mapfile -t names < <(localedef --list-archive)
    for name in "${names[@]}"; do
        if _kiwinb_matches "$name" "$@"; then
            left=$((left + 1))
        else
            localedef --delete-from-archive "$name" || return
        fi
    done
    if [ "$left" = 0 ]; then
        rm -f "$archive"
    elif command -v build-locale-archive >/dev/null; then
        mv "$archive" "$archive.tmpl" && build-locale-archive
    fi
}

# baseStripTranslations NAME…: remove all catalogues of messages but those of these languages and of
# these domains; kiwi.mo, de and de_DE.UTF-8 are such names.
baseStripTranslations() {
    local file language name names keep
    _kiwinb_in_tree || return
    read -r -d '' -a names <<<"$*" || true
    if [ ! -d /usr/share/locale ]; then
        return
    fi
    while IFS= read -r -d '' file; do
        language=${file#/usr/share/locale/}
        language=${language%%/*}
        keep=''
        for name in "${names[@]}"; do
            if [[ ${name%.mo} == "$(basename "$file" .mo)" || $language == "${name%%.*}" ||
                $language == "${name%%[_.@]*}" || $language == "$name"[_.@]* ]]; then
                keep=1
                break
            fi
        done
        if [ -z "$keep" ]; then
            printf '%s\0' "$file"
        fi
    done < <(find /usr/share/locale -name '*.mo' -print0) | xargs -0 -r rm -f --
    find /usr/share/locale -mindepth 1 -type d -empty -delete
}

# baseStripMans NAME…: remove all manual pages but these.
baseStripMans() {
    _kiwinb_in_tree || return
    if [ -d /usr/share/man ]; then
        find /usr/share/man ! -type d | baseStripAndKeep "$@"
        find /usr/share/man -mindepth 1 -type d -empty -delete
    fi
    if [ -d /var/cache/man ]; then
        find /var/cache/man -mindepth 1 -delete
    fi
}

# baseStripInfos NAME…: remove all info pages but these.
baseStripInfos() {
    _kiwinb_in_tree || return
    if [ -d /usr/share/info ]; then
        find /usr/share/info ! -type d | baseStripAndKeep "$@"
    fi
}

# baseStripDocs NAME…: remove all documentation of packages but theirs, and but all licences.
baseStripDocs() {
    local directory file path keep
    _kiwinb_in_tree || return
    read -r -d '' -a keep <<<"$*" || true
    for directory in /usr/share/doc /usr/share/gtk-doc; do
        if [ ! -d "$directory" ]; then
            continue
        fi
        while IFS= read -r -d '' file; do
            path=${file#"$directory/"}
            case ${path##*/} in
                [Cc]opyright* | COPYRIGHT* | COPYING* | LICEN[CS]E* | NOTICE*) continue ;;
            esac
            if ! _kiwinb_matches "$path" "${keep[@]}"; then
                printf '%s\0' "$file"
            fi
        done < <(find "$directory" -type f -print0) | xargs -0 -r rm -f --
        find "$directory" -xtype l -delete
        find "$directory" -mindepth 1 -type d -empty -delete
    done
}

# _kiwinb_strip_tools KEEP DIRECTORY…: remove the files of directories, but for the names in KEEP.
# All are found before the first is removed, since rm may be among them.
_kiwinb_strip_tools() {
    local directory file tools found=() doomed=() keep
    local -A kept=()
    read -r -d '' -a tools <<<"$1" || true
    shift
    if [ ${#tools[@]} = 0 ]; then
        echo "no tools are named to be kept, so all are" >&2
        return
    fi
    for keep in "${tools[@]}"; do
        kept[$keep]=1
    done
    for directory; do
        directory=$(realpath -e -- "$directory") || continue
        case $directory in
            / | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/*)
                _kiwinb_say "$directory is no directory of tools"
                continue
                ;;
        esac
        mapfile -d '' -t found < <(find "$directory" -xdev ! -type d -print0)
        for file in "${found[@]}"; do
            if [[ -z ${kept[${file##*/}]-} && ! -d $file ]]; then
                doomed+=("$file")
            fi
        done
    done
    if [ ${#doomed[@]} != 0 ]; then
        printf 'removing %s\n' "${doomed[@]}"
        printf '%s\0' "${doomed[@]}" | xargs -0 -r rm -f --
    fi
}

# baseStripTools DIRECTORY TOOLS: remove all files of a directory, but for the names in the list.
baseStripTools() {
    _kiwinb_in_tree || return
    _kiwinb_strip_tools "${*:2}" "${1:?baseStripTools needs a directory}"
}

# baseStripInitrd TOOL…: for a tree that becomes an initrd, remove all programs but these and
# kiwi_strip_tools, and if kiwi_strip_libs is set the libraries that none of them needs.
baseStripInitrd() {
    _kiwinb_in_tree || return
    if [ "${kiwi_initrd_system-}" = dracut ]; then
        _kiwinb_say "dracut makes the initrd, so there is nothing to strip"
        return
    fi
    _kiwinb_strip_tools "${kiwi_strip_tools-} $*" /sbin /usr/sbin /usr/bin /bin
    if [ -n "${kiwi_strip_libs-}" ]; then
        baseStripUnusedLibs "$kiwi_strip_libs"
    fi
}

suseStripInitrd() { baseStripInitrd "$@"; }

# _kiwinb_library_directories: print the directories that the linker looks into, once each.
_kiwinb_library_directories() {
    local directory
    for directory in /lib /lib64 /usr/lib /usr/lib64 /usr/lib/*-linux-gnu* /lib/*-linux-gnu*; do
        if [ -d "$directory" ]; then
            realpath "$directory"
        fi
    done | sort -u
}

# baseStripUnusedLibs NAME…: remove the libraries that no program and no plug-in of the tree is
# linked to, but for those whose names start with one of these or with one of kiwi_strip_libs.
baseStripUnusedLibs() {
    local directory file name names directories used
    local -A needed=()
    _kiwinb_in_tree || return
    if ! command -v ldd >/dev/null; then
        _kiwinb_say "there is no ldd in the tree: nothing is removed"
        return
    fi
    # Loaded by name, never linked: the name service, and what ends threads.
    read -r -d '' -a names <<<"ld- libnss_ libgcc_s ${kiwi_strip_libs-} $*" || true
    mapfile -t directories < <(_kiwinb_library_directories)
    mapfile -t used < <(
        {
            find /bin/ /sbin/ /usr/bin/ /usr/sbin/ /usr/local/ /usr/libexec /opt \
                -type f -perm /111 -print0 2>/dev/null || true
            for directory in "${directories[@]}"; do
                find "$directory" -mindepth 2 -type f \( -perm /111 -o -name '*.so' -o \
                    -name '*.so.*' \) -print0
            done | _kiwinb_below "${directories[@]}"
            _kiwinb_named_libraries "${directories[*]}" "${names[@]}"
        } | sort -zu | xargs -0 -r ldd 2>/dev/null \
            | sed -n 's/^[[:space:]].*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p;s/^[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' \
            | sort -u | xargs -r -d '\n' realpath -e
    )
    if [ ${#used[@]} = 0 ]; then
        _kiwinb_say "the libraries in use cannot be found out: nothing is removed"
        return
    fi
    for file in "${used[@]}"; do
        needed[$file]=1
    done
    for directory in "${directories[@]}"; do
        for file in "$directory"/lib*.so*; do
            name=${file##*/}
            if [[ -f $file && ! -L $file && -z ${needed[$file]-} ]] \
                && ! _kiwinb_starts "$name" "${names[@]}"; then
                Rm -f -- "$file"
            fi
        done
        find "$directory" -maxdepth 1 -name 'lib*.so*' -xtype l -delete
    done
    if command -v ldconfig >/dev/null; then
        ldconfig
    fi
}

# _kiwinb_starts NAME BEGINNING…: whether the name starts with one of these.
_kiwinb_starts() {
    local name=$1 beginning
    shift
    for beginning; do
        if [[ $name == "$beginning"* ]]; then
            return 0
        fi
    done
    return 1
}

# _kiwinb_below DIRECTORY…: of the files on standard input, those that are not right in one of these.
_kiwinb_below() {
    local file directory
    while IFS= read -r -d '' file; do
        for directory; do
            if [ "${file%/*}" = "$directory" ]; then
                continue 2
            fi
        done
        printf '%s\0' "$file"
    done
}

# _kiwinb_named_libraries DIRECTORIES BEGINNING…: the libraries that are kept by name.
_kiwinb_named_libraries() {
    local directory beginning file directories
    read -r -a directories <<<"$1"
    shift
    for directory in "${directories[@]}"; do
        for beginning; do
            for file in "$directory/$beginning"*; do
                if [ -f "$file" ]; then
                    printf '%s\0' "$file"
                fi
            done
        done
    done
}
