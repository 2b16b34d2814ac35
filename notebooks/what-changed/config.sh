#!/bin/bash
# Runs in the root tree once all packages and overlay files are there.
set -eu

test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile

# A container reads no manuals.
baseStripMans
baseStripInfos
baseStripDocs
baseStripLocales
baseStripTranslations
rm -rf /usr/share/lintian /usr/share/bug

# The first release left the directory open to its group; the second one does not.
chown -R root:www-data /srv/www
if [[ ,${kiwi_profiles-}, == *,release-1,* ]]; then
    chmod 2775 /srv/www
else
    chmod 0755 /srv/www
fi
