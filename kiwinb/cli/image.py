"""``kiwinb image``: show what a description defines, and resize a finished disk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from kiwinb.build.appliance import Appliance
from kiwinb.cli.build_options import open_appliance, repository_options
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import emit, print_json, say_each
from kiwinb.description.model import ImageDescription
from kiwinb.description.secrets import without_secrets
from kiwinb.description.show import to_toml, to_xml, to_yaml
from kiwinb.notebook.forecast import Forecast
from kiwinb.packages.manager import AvailablePackage
from kiwinb.results.exported import EXPORT_FOLDER
from kiwinb.sizes import binary, parse_size

_WRITERS = {"xml": to_xml, "yaml": to_yaml, "toml": to_toml}


@click.group()
def image() -> None:
    """Show what a description defines, and resize a finished image."""


@image.command()
@click.option(
    "--description",
    required=True,
    type=click.Path(),
    help="The description directory, or the description file.",
)
@click.option("--list-profiles", is_flag=True, help="List the profiles, as JSON.")
@click.option(
    "--print-kiwi-env", is_flag=True, help="Print the variables that scripts get, as JSON."
)
@click.option("--print-xml", "form", flag_value="xml", help="Print the whole description as XML.")
@click.option(
    "--print-yaml", "form", flag_value="yaml", help="Print the whole description as YAML."
)
@click.option(
    "--print-toml", "form", flag_value="toml", help="Print the whole description as TOML."
)
@click.option(
    "--resolve-package-list",
    is_flag=True,
    help="List all packages that the image will contain, with their sizes in bytes: a table on a "
    "terminal, or else JSON.",
)
@repository_options
@pass_options
def info(
    options: GlobalOptions,
    /,
    description: str,
    list_profiles: bool,
    print_kiwi_env: bool,
    form: str | None,
    resolve_package_list: bool,
    add_repo: tuple[str, ...],
    add_repo_credentials: tuple[str, ...],
    ignore_repos: bool,
) -> None:
    """Show the main facts about a description."""
    appliance = open_appliance(
        options,
        description,
        {
            "add_repo": add_repo,
            "add_repo_credentials": add_repo_credentials,
            "ignore_repos": ignore_repos,
        },
    )
    image, facts = appliance.description, dict[str, Any]()
    if print_kiwi_env:
        facts["kiwi_env"] = _environment(image)
    if list_profiles:
        facts["profile_names"] = [profile.name for profile in image.all_profiles]
    if resolve_package_list:
        found = appliance.forecast_packages()
        if options.output.is_terminal and not options.json:
            _print_packages(options, found)
        else:
            facts["resolved-packages"] = {item.name: _package(item) for item in found}
    if facts:
        print_json({"image": image.name, **facts})
    if form is not None:
        emit(_WRITERS[form](without_secrets(appliance.document.tree)), end="")
    elif options.json and not facts:
        print_json(asdict(image, dict_factory=_without_passwords))
    elif not (facts or resolve_package_list):
        _print_facts(image)


@image.command()
@click.option(
    "--target-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the result files.",
)
@click.option("--size", required=True, help="The new size in bytes, or with a unit: 500M, 20G.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Root tree that the image was created from; its description has the format options.",
)
@pass_options
def resize(options: GlobalOptions, target_dir: Path, size: str, root: Path | None) -> None:
    """Make a disk image larger; its root file system grows at the first boot."""
    from kiwinb.results.resize import resize as resize_disk

    wanted = parse_size(size)
    if wanted is None:
        raise click.BadParameter(f"{size!r} is not a size such as 20G", param_hint="--size")
    format_options = _described(root).type.formatoptions if root else ()
    result = resize_disk(target_dir, wanted, options=format_options)
    if options.json:
        print_json([asdict(file) for file in result.files])
        return
    for file in result.files:
        if file.tag.startswith("disk_"):
            say_each(f"{file.tag}: {result.directory / file.filename} ({binary(file.size)})")


def _described(root: Path) -> ImageDescription:
    return Appliance(root / EXPORT_FOLDER).description


def _environment(image: ImageDescription) -> dict[str, str]:
    from kiwinb.images import IMAGE_KINDS
    from kiwinb.prepare.profile import profile_variables

    kind = IMAGE_KINDS.get(image.type.image)
    return dict(sorted(profile_variables(image, kind.variables(image) if kind else {}).items()))


def _package(item: AvailablePackage) -> dict[str, object]:
    """A package with KIWI NG's names, and the facts that KIWI NG does not have."""
    named = item.why == "named"
    return {
        "arch": item.arch,
        "installsize_bytes": item.installed_size,
        "status": "listed_in_kiwi_description" if named else "added_by_dependency_solver",
        "version": item.version,
        "download_bytes": item.size,
        "sha256": item.sha256,
        "why": item.why,
    }


def _print_packages(options: GlobalOptions, found: Forecast) -> None:
    table = Table("package", "version", "architecture", box=None)
    for name in ("download", "installed"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for item in found:
        sizes = (binary(item.size), binary(item.installed_size))
        table.add_row(item.name, item.version, item.arch, *sizes, item.why)
    options.output.print(table)
    options.output.print(found.summary)


_SECRET = ("password", "key_logins")


def _without_passwords(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    known = {name: value for name, value in fields if name not in _SECRET}
    if isinstance(written := known.get("attributes"), dict):
        known["attributes"] = {key: text for key, text in written.items() if key != "luks"}
    return known


def _print_facts(image: ImageDescription) -> None:
    about = image.information
    facts = {
        "name": image.name,
        "version": image.version,
        "about": about.specification,
        "author": ", ".join(about.author),
        "contact": ", ".join(about.contact),
        "license": ", ".join(about.license),
        "architecture": image.arch,
        "type": image.type.image,
        "profiles": ", ".join(image.profiles),
        "package manager": image.preferences.packagemanager,
        "repositories": ", ".join(item.alias or item.path for item in image.repositories),
        "packages": len(image.packages.bootstrap.packages) + len(image.packages.image.packages),
        "result files": f"{image.result_name}.*",
    }
    for name, value in facts.items():
        if value not in ("", None):
            say_each(f"{name}: {value}")
