"""Validation of a description against the schema."""

from lxml import etree


def validate(tree: etree._ElementTree) -> None:
    """Hold a document against the schema.

    Raises:
        DescriptionErrors: It does not hold; all that is wrong is told at once.
    """
