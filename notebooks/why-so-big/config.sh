#!/bin/bash
# Runs in the root tree once all packages, overlay files and users are there.
set -eu

test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile

# selected NAME: whether a profile is selected.
selected() {
    [[ ,${kiwi_profiles-}, == *",$1,"* ]]
}

baseInsertService systemd-networkd
baseInsertService systemd-resolved
baseInsertService nginx

if selected one-locale; then
    baseStripLocales en_US
    baseStripTranslations en
fi
if selected no-docs; then
    baseStripMans
    baseStripInfos
    baseStripDocs
    rm -rf /usr/share/lintian /usr/share/bug
fi
if selected no-caches; then
    # systemd-hwdb makes it anew from the files in hwdb.d.
    rm -f /usr/lib/udev/hwdb.bin
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old
    rm -rf /var/cache/man
fi
