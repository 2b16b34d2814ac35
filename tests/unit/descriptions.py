"""Descriptions as strings, read the way the product reads them."""

from __future__ import annotations

from pathlib import Path

from kiwinb.description.document import Document, read

PREFERENCES = """
<preferences>
  <version>1.2.3</version>
  <packagemanager>apt</packagemanager>
  <type image="oem" filesystem="ext4" firmware="efi"/>
</preferences>
"""
REPOSITORY = """
<repository type="apt-deb" alias="debian" distribution="bookworm">
  <source path="mirror:debian"/>
</repository>
"""
PACKAGES = '<packages type="image"><package name="bash"/></packages>'
BOOTSTRAP = '<packages type="bootstrap"><package name="apt"/></packages>'


def document(
    directory: Path,
    *sections: str,
    preferences: str = PREFERENCES,
    repository: str = REPOSITORY,
    packages: str = PACKAGES + BOOTSTRAP,
) -> Document:
    """A description of these sections, completed with plain ones, written and read."""
    (directory / "config.xml").write_text(
        '<image schemaversion="8.5" name="test">'
        '<description type="system"><author>A</author><contact>a@example.org</contact>'
        "<specification>A test</specification></description>"
        f"{''.join(sections)}{preferences}{repository}{packages}</image>",
        encoding="utf-8",
    )
    return read(directory)
