"""What all package managers for packages of rpm share: metadata, resolving, and a local repository.

kiwinb reads the metadata of a repository once, checks it, and resolves with libsolv, as dnf and
zypper do. The package manager itself gets a repository with the chosen packages only, so it needs
no network and comes to the same result.
"""
