"""Write a valid description in one way, so that its readers see each value in one spelling."""

from __future__ import annotations

from lxml import etree

from kiwinb.description.schema.rules import Datatype, ElementRule, element_rules, normal
from kiwinb.description.xml import children


def canonical(image: etree._Element) -> None:
    """Replace other spellings of values, and remove what is empty and means nothing.

    ``1`` becomes ``true``. An empty attribute or element goes if it means the same as none; a
    required attribute stays.

    Args:
        image: The root of a valid document. It is changed.
    """
    _element(image, element_rules()["image"])


def _element(element: etree._Element, rule: ElementRule) -> None:
    for name, known in rule.attributes.items():
        text = element.get(name) if ":" not in name else None
        if text is None:
            continue
        if _means_nothing(text, known.datatype) and not known.required:
            del element.attrib[name]
        elif (value := known.datatype.spellings.get(normal(text))) is not None:
            element.set(name, value)
    if rule.foreign:
        return
    for child in list(children(element)):
        of_child = element_rules()[rule.children[str(child.tag)].rule]
        content = of_child.content
        if content is not None and _means_nothing(child.text or "", content):
            element.remove(child)
            continue
        if content is not None and (value := content.spellings.get(normal(child.text or ""))):
            child.text = value
        _element(child, of_child)


def _means_nothing(text: str, datatype: Datatype) -> bool:
    return datatype.empty_is_absent and not normal(text)
