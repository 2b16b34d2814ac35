"""dnf 4, dnf 5 and microdnf, for Fedora, Red Hat Enterprise Linux and their derivatives."""
