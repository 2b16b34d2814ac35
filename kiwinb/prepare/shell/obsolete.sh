# shellcheck shell=bash
# Functions that are obsolete in KIWI NG. They are there for old scripts; each says why it does
# nothing, or what to use in its place.

baseCleanMount() { deprecated "${FUNCNAME[0]}" <<<"mounts end with the step"; }

baseMount() { deprecated "${FUNCNAME[0]}" <<<"/proc, /sys, /dev and /run are mounted already"; }

baseCleanup() { deprecated "${FUNCNAME[0]}" <<<"the tree is cleaned up after the scripts"; }

suseCleanup() { deprecated "${FUNCNAME[0]}" <<<"the tree is cleaned up after the scripts"; }

baseSetupUserPermissions() {
    deprecated "${FUNCNAME[0]}" <<<"homes of <users> belong to their users already"
}

# baseGetPackagesForDeletion: print the packages of <packages type="delete">.
baseGetPackagesForDeletion() {
    echo "${kiwi_delete-}"
    echo "baseGetPackagesForDeletion is obsolete: use \$kiwi_delete" >&2
}

# baseGetProfilesUsed: print the profiles that the image is built with.
baseGetProfilesUsed() {
    echo "${kiwi_profiles-}"
    echo "baseGetProfilesUsed is obsolete: use \$kiwi_profiles" >&2
}

Rpm() { deprecated "${FUNCNAME[0]}" <<<"call rpm itself"; }

suseConfig() { deprecated "${FUNCNAME[0]}" <<<"there is no SuSEconfig any more"; }

suseActivateDefaultServices() {
    deprecated "${FUNCNAME[0]}" <<<"name the services that you want with baseInsertService"
}

suseRemoveYaST() {
    deprecated "${FUNCNAME[0]}" <<<"leave its packages out, or name them in <packages type=\"delete\">"
}

suseSetupProductInformation() {
    deprecated "${FUNCNAME[0]}" <<<"install the package of the product; suseSetupProduct links it"
}

rhelSplashToGrub() {
    deprecated "${FUNCNAME[0]}" <<<"there are no such splash files any more"
}

rhelStripInitrd() { deprecated "${FUNCNAME[0]}" <<<"dracut makes the initrd"; }

rhelStripKernel() { deprecated "${FUNCNAME[0]}" <<<"use baseStripKernel"; }

debianStripInitrd() { deprecated "${FUNCNAME[0]}" <<<"initramfs-tools or dracut makes the initrd"; }

debianStripKernel() { deprecated "${FUNCNAME[0]}" <<<"use baseStripKernel"; }
