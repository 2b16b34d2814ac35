"""Whether kiwinb uses each element and attribute: the reference, and warnings.

``python -m kiwinb.cli.documents`` writes ``docs/schema.md`` from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from kiwinb.description.choose import undeclared_profiles
from kiwinb.description.schema.rules import (
    AttributeRule,
    Datatype,
    ElementRule,
    State,
    element_rules,
    normal,
)
from kiwinb.description.xml import children, location
from kiwinb.errors import Location
from kiwinb.spelling import shortened


@dataclass(frozen=True)
class Unused:
    """A part of a description that kiwinb does not use.

    Attributes:
        location: File, line and element.
        state: ``accepted`` if the part changes nothing in the image, ``refused`` if it would.
        element: Name of the element.
        attribute: The attribute that kiwinb does not use, if it uses the element.
        value: The value of the attribute or element, if kiwinb uses other values.
        others: The values that kiwinb does use.
        plugin: The sort of plug-in that the value names; see
            :class:`~kiwinb.description.schema.rules.Datatype`.
    """

    location: Location
    state: State
    element: str
    attribute: str | None = None
    value: str | None = None
    others: tuple[str, ...] = ()
    plugin: str = ""

    @property
    def what(self) -> str:
        """The part as written: an attribute, a value or an element."""
        if self.value is not None:
            return f'{self.attribute}="{self.value}"' if self.attribute else f'"{self.value}"'
        return self.attribute or f"<{self.element}>"

    def __str__(self) -> str:
        return f"{self.location}: {self.what} is valid, but changes nothing in this image"


def undeclared(tree: etree._ElementTree) -> tuple[str, ...]:
    """One warning for each section that is for a profile which nobody declares.

    Args:
        tree: The whole document, as kiwinb read it.
    """
    return tuple(
        f"{location(section)}: there is no profile {shortened(name)!r}, so the section is not "
        "selected for it" + (f"; did you mean {near!r}?" if near else "")
        for section, name, near in undeclared_profiles(tree.getroot())
    )


def usage(tree: etree._ElementTree) -> tuple[Unused, ...]:
    """The parts of a valid document that kiwinb does not use, in document order.

    Args:
        tree: The document, as kiwinb read it.
    """
    return tuple(_unused(tree.getroot(), element_rules()["image"]))


def warnings(tree: etree._ElementTree) -> tuple[str, ...]:
    """One warning for each element, attribute or value that changes nothing in the image."""
    places: dict[tuple[str, str | None, str | None], list[Unused]] = {}
    for item in usage(tree):
        if item.state == "accepted":
            places.setdefault((item.element, item.attribute, item.value), []).append(item)
    return tuple(
        f"{first}{f' (nor in {len(more)} places more)' if more else ''}"
        for first, *more in places.values()
    )


def _unused(element: etree._Element, rule: ElementRule) -> Iterator[Unused]:
    where = location(element)
    text = element.text or ""
    if rule.state != "honoured":
        if rule.content is None or rule.content.asks(text):
            yield Unused(where, rule.state, rule.name)
        return
    for name, attribute in rule.attributes.items():
        value = element.get(name)
        if value is None or not attribute.datatype.asks(value):
            continue
        if attribute.state != "honoured":
            yield Unused(where, attribute.state, rule.name, name)
        else:
            yield from _unused_value(where, rule.name, name, value, attribute.datatype)
    if rule.content is not None:
        yield from _unused_value(where, rule.name, None, text, rule.content)
    for child in children(element):
        if (known := rule.children.get(str(child.tag))) is not None:
            yield from _unused(child, element_rules()[known.rule])


def _unused_value(
    where: Location, element: str, attribute: str | None, text: str, datatype: Datatype
) -> Iterator[Unused]:
    if (state := datatype.state(text)) != "honoured":
        others = tuple(value for value, its in datatype.values.items() if its == "honoured")
        yield Unused(where, state, element, attribute, normal(text), others, datatype.plugin)


def markdown() -> str:
    """The text of ``docs/schema.md``, the reference of all elements and attributes."""
    rules = element_rules()
    honoured = sum(
        (rule.state == "honoured") + sum(a.state == "honoured" for a in rule.attributes.values())
        for rule in rules.values()
    )
    total = sum(1 + len(rule.attributes) for rule in rules.values())
    lines = [
        "# Elements and attributes of an image description",
        "",
        "<!-- Written by python -m kiwinb.cli.documents; change kiwinb.rng instead. -->",
        "",
        "kiwinb reads KIWI NG's image descriptions of schema version 8.5; it upgrades descriptions",
        "of older versions, from 7.4 on, when it reads them. It knows all elements, attributes and",
        "values below.",
        f"It **honours** {honoured} of {total} elements and attributes. It **accepts** some that "
        "change nothing in the",
        "images that it makes, and warns of them. It **refuses** those that it cannot do yet: they "
        "are valid,",
        "but a build that asks for one of them ends before it starts. Values that kiwinb does not "
        "honour are in",
        "*italics*.",
        "",
    ]
    for rule in rules.values():
        lines += _section(rule)
    return "\n".join(lines)


def _section(rule: ElementRule) -> Iterator[str]:
    parents = [other for other in element_rules().values() if _holds(other, rule)]
    places = ", ".join(f"[`<{p.name}>`](#{_anchor(p)})" for p in parents)
    yield f'<a id="{_anchor(rule)}"></a>'
    yield ""
    yield f"## `<{rule.name}>`" + (f" in `<{parents[0].name}>`" if "." in rule.rule else "")
    yield ""
    yield _escaped(rule.text)
    yield ""
    if places:
        yield f"- In: {places}"
    yield f"- State: {rule.state}"
    if rule.content is not None:
        yield f"- Text: {_values(rule.content)}"
    if rule.foreign:
        yield "- Holds: elements of other namespaces"
    if rule.children:
        yield f"- Holds: {', '.join(_children(rule))}"
    yield ""
    if rule.attributes:
        yield "| Attribute | Values | State | Meaning |"
        yield "|---|---|---|---|"
        for attribute in rule.attributes.values():
            required = " (required)" if attribute.required else ""
            values = _values(attribute.datatype).replace("|", "\\|")
            yield (
                f"| `{attribute.name}`{required} | {values} | {attribute.state} "
                f"| {_escaped(attribute.text)}{_limits(attribute)} |"
            )
        yield ""


def _limits(attribute: AttributeRule) -> str:
    """Where an attribute may stand, in words; empty if everywhere."""
    said = ""
    for names, form in (
        (attribute.kinds, " Only with the image types {}."),
        (attribute.required_for, " Required for {}."),
        (attribute.loaders, " Only with the bootloaders {}."),
    ):
        if names:
            said += form.format(", ".join(f"`{name}`" for name in names))
    return said


def _holds(parent: ElementRule, rule: ElementRule) -> bool:
    return any(child.rule == rule.rule for child in parent.children.values())


def _children(rule: ElementRule) -> Iterator[str]:
    times = {(0, 1): "at most one", (1, 1): "one", (1, None): "one or more", (0, None): ""}
    for name, child in rule.children.items():
        said = times[child.least, child.most]
        link = f"[`<{name}>`](#{_anchor(element_rules()[child.rule])})"
        yield f"{link} ({said})" if said else link


def _anchor(rule: ElementRule) -> str:
    return rule.rule.replace(".", "-")


def _values(datatype: Datatype) -> str:
    words = [
        f"`{value}`" if state == "honoured" else f"*`{value}`*"
        for value, state in datatype.values.items()
    ]
    if datatype.expected:
        words.append(_escaped(datatype.expected))
    if datatype.anything:
        words.append("any text")
    return ", ".join(words)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")
