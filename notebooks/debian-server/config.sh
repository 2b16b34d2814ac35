#!/bin/bash
# Runs in the root tree once all packages, overlay files and users are there.
set -eu

test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile

echo "Configuring $kiwi_iname $kiwi_iversion"

baseSetRunlevel 3
baseInsertService systemd-networkd
baseInsertService systemd-resolved
baseInsertService ssh
