#!/bin/bash
# Runs in the root tree once all packages and overlay files are there.
set -eu

test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile

# Whoever builds on this image can install documentation; the base has none but the licences.
baseStripMans
baseStripInfos
baseStripDocs
baseStripLocales
baseStripTranslations
rm -rf /usr/share/lintian /usr/share/bug
