"""The rules of the schema for each element, as data for validation, warnings and the reference.

The RELAX NG schema decides what is valid, but libxml2 does not explain errors well. These rules
come from the same file, so it is the only source of names, values and states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from lxml import etree

from kiwinb.steps.registry import added_names

State = Literal["honoured", "accepted", "refused"]
"""``honoured``: kiwinb acts on it. ``accepted``: valid, and changes nothing in the images that
kiwinb makes. ``refused``: valid, but kiwinb cannot do it yet."""

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_DOCUMENTATION = "{http://relaxng.org/ns/compatibility/annotations/1.0}documentation"
_STATE = "{urn:kiwinb:schema}state"
_EXPECTED = "{urn:kiwinb:schema}expected"
_HAS = "{urn:kiwinb:schema}has"
_PLUGIN = "{urn:kiwinb:schema}plugin"
_PACKAGE = "{urn:kiwinb:schema}package"
_DEFAULT = "{urn:kiwinb:schema}default"
_KINDS = "{urn:kiwinb:schema}kinds"
_REQUIRED = "{urn:kiwinb:schema}required"
_LOADERS = "{urn:kiwinb:schema}loaders"
_MEANS = "{urn:kiwinb:schema}means"
_EMPTY = "{urn:kiwinb:schema}empty"
_SWITCH = {"true", "false"}
_XML_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Datatype:
    """The allowed values of an attribute or a text.

    Attributes:
        values: The allowed values, each with its state.
        patterns: Patterns; the value may match one of them instead.
        anything: Whether every text is allowed.
        expected: A description of the patterns, in words.
        having: Elements that belong to some of the values: a container image has a
            ``containerconfig``, an image that boots has a ``bootloader``.
        plugin: The sort of plug-in that the values name, for example ``file system``. The names of
            plug-ins that kiwinb does not bring are allowed, too. Empty if they name none.
        spellings: Other spellings of values: ``1`` for ``true``.
        packages: Packages that contain the programs which some values name.
        default: The value that holds if none is given; empty if there is none.
        empty_is_absent: Whether an empty text means the same as no attribute or element.
    """

    values: Mapping[str, State] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()
    anything: bool = False
    expected: str = ""
    having: Mapping[str, str] = field(default_factory=dict)
    plugin: str = ""
    spellings: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    empty_is_absent: bool = False
    default: str = ""

    def accepts(self, text: str) -> bool:
        """Whether a text is allowed."""
        word = normal(text)
        return (
            self.anything
            or word in self.values
            or word in self.spellings
            or word in added_names(self.plugin)
            or any(re.fullmatch(pattern, word, re.ASCII) for pattern in self.patterns)
        )

    def asks(self, text: str) -> bool:
        """Whether a value asks for anything; ``false`` does not."""
        return not ("false" in self.values and normal(text) == "false")

    def state(self, text: str) -> State:
        """The state of a value."""
        return self.values.get(normal(text), "honoured")


@dataclass(frozen=True)
class AttributeRule:
    """The rule for an attribute of one element.

    Attributes:
        name: Its name.
        required: Whether the element needs it.
        datatype: Its values.
        state: Whether kiwinb acts on it.
        text: Its documentation, one sentence.
        kinds: The image kinds on whose types it may stand; empty if it may stand on all.
        required_for: The image kinds that need it.
        loaders: The boot loaders that it is for; empty if it is for all.
    """

    name: str
    required: bool
    datatype: Datatype
    state: State
    text: str
    kinds: tuple[str, ...] = ()
    required_for: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChildRule:
    """How often an element may occur in another.

    Attributes:
        rule: Name of the element's own rule.
        least: 0 or 1.
        most: 1, or ``None`` for any number.
    """

    rule: str
    least: int
    most: int | None


@dataclass(frozen=True)
class ElementRule:
    """The rule for an element.

    Attributes:
        rule: Name of the rule; ``PARENT.NAME`` if a name has several meanings.
        name: Name of the element.
        attributes: Its attributes, by name with prefix.
        children: Its children, by name.
        content: The allowed values of its text; ``None`` if it has no text.
        foreign: Whether it contains elements of other namespaces.
        state: Whether kiwinb acts on it.
        text: Its documentation, one sentence.
    """

    rule: str
    name: str
    attributes: Mapping[str, AttributeRule]
    children: Mapping[str, ChildRule]
    content: Datatype | None
    foreign: bool
    state: State
    text: str


def normal(text: str) -> str:
    """A text as datatypes see it: stripped, and with single spaces."""
    return _XML_SPACE.sub(" ", text).strip(" ")


def image_has(kind: str) -> str | None:
    """The element that such types have: ``containerconfig``, ``bootloader`` or none."""
    return element_rules()["type"].attributes["image"].datatype.having.get(kind)


def manager_package(name: str | None) -> str | None:
    """The package that contains a package manager, as a distribution calls it."""
    content = element_rules()["packagemanager"].content
    return content.packages.get(name) if content is not None and name is not None else None


def default_manager() -> str | None:
    """The package manager of descriptions that name none."""
    content = element_rules()["packagemanager"].content
    return content.default or None if content is not None else None


@cache
def source() -> bytes:
    """The schema file."""
    return resources.files(__package__).joinpath("kiwinb.rng").read_bytes()


@cache
def element_rules() -> Mapping[str, ElementRule]:
    """All element rules by name, in the order of the schema; ``image`` is the root."""
    defines = {
        define.get("name", ""): define
        for define in etree.fromstring(source()).iter(_RNG + "define")
    }
    elements = {
        name: define[0]
        for name, define in defines.items()
        if define[0].tag == _RNG + "element" and define[0].get("name")
    }
    return {name: _element_rule(name, element, defines) for name, element in elements.items()}


def parents(name: str) -> tuple[str, ...]:
    """Names of the elements that may contain an element of this name, in schema order."""
    return tuple(
        dict.fromkeys(rule.name for rule in element_rules().values() if name in rule.children)
    )


def owners(attribute: str) -> tuple[str, ...]:
    """Names of the elements that have an attribute of this name, in schema order."""
    return tuple(
        dict.fromkeys(
            rule.name for rule in element_rules().values() if attribute in rule.attributes
        )
    )


@cache
def switches() -> frozenset[str]:
    """Names of the elements and attributes whose values are ``true`` and ``false``."""
    datatypes = [
        pair
        for rule in element_rules().values()
        for pair in (
            (rule.name, rule.content),
            *((item.name, item.datatype) for item in rule.attributes.values()),
        )
    ]
    return frozenset(
        name for name, known in datatypes if known is not None and known.values.keys() == _SWITCH
    )


def _element_rule(
    name: str, element: etree._Element, defines: Mapping[str, etree._Element]
) -> ElementRule:
    attributes: dict[str, AttributeRule] = {}
    children: dict[str, ChildRule] = {}
    content: Datatype | None = None
    foreign = False
    for part, wrappers in _parts(element):
        if part.tag == _RNG + "attribute":
            attribute = _attribute_rule(part, "optional" not in wrappers, defines)
            attributes[attribute.name] = attribute
        elif part.tag == _RNG + "ref" and part.get("name") == "foreign":
            foreign = True
        elif part.tag == _RNG + "ref" and defines[part.get("name", "")][0].tag == _RNG + "element":
            rule = part.get("name", "")
            optional = {"optional", "zeroOrMore", "choice"} & set(wrappers)
            many = {"zeroOrMore", "oneOrMore"} & set(wrappers)
            child = ChildRule(rule, 0 if optional else 1, None if many else 1)
            children[defines[rule][0].get("name", "")] = child
        elif part.tag != _RNG + "empty":
            content = _datatype([part], defines)
    return ElementRule(
        rule=name,
        name=element.get("name", ""),
        attributes=attributes,
        children=children,
        content=content,
        foreign=foreign,
        state=_state(element),
        text=element.findtext(_DOCUMENTATION, ""),
    )


def _parts(
    parent: etree._Element, wrappers: tuple[str, ...] = ()
) -> Iterator[tuple[etree._Element, tuple[str, ...]]]:
    """The parts of an element of the schema, each with the wrappers around it."""
    for part in parent.iterchildren(_RNG + "*"):
        kind = etree.QName(part).localname
        holds_values = kind == "choice" and part[0].tag != _RNG + "ref"
        if kind in ("optional", "zeroOrMore", "oneOrMore", "interleave", "choice") and not (
            holds_values
        ):
            yield from _parts(part, (*wrappers, kind))
        else:
            yield part, wrappers


def _attribute_rule(
    attribute: etree._Element, required: bool, defines: Mapping[str, etree._Element]
) -> AttributeRule:
    return AttributeRule(
        name=attribute.get("name", ""),
        required=required,
        datatype=_datatype(list(attribute.iterchildren(_RNG + "*")), defines),
        state=_state(attribute),
        text=attribute.findtext(_DOCUMENTATION, ""),
        kinds=tuple(attribute.get(_KINDS, "").split()),
        required_for=tuple(attribute.get(_REQUIRED, "").split()),
        loaders=tuple(attribute.get(_LOADERS, "").split()),
    )


def _datatype(parts: list[etree._Element], defines: Mapping[str, etree._Element]) -> Datatype:
    values: dict[str, State] = {}
    patterns: list[str] = []
    anything = empty_is_absent = False
    expected = plugin = default = ""
    having: dict[str, str] = {}
    spellings: dict[str, str] = {}
    packages: dict[str, str] = {}
    queue = list(parts)
    while queue:
        part = queue.pop(0)
        expected = part.get(_EXPECTED) or expected
        plugin = part.get(_PLUGIN) or plugin
        empty_is_absent = empty_is_absent or part.get(_EMPTY) == "absent"
        match etree.QName(part).localname:
            case "ref":
                queue = [*defines[part.get("name", "")], *queue]
            case "choice":
                queue = [*part.iterchildren(_RNG + "*"), *queue]
            case "value" if (meaning := part.get(_MEANS)) is not None:
                spellings[part.text or ""] = meaning
            case "value":
                values[part.text or ""] = _state(part)
                if part.get(_DEFAULT) is not None:
                    default = part.text or ""
                if (has := part.get(_HAS)) is not None:
                    having[part.text or ""] = has
                if (package := part.get(_PACKAGE)) is not None:
                    packages[part.text or ""] = package
            case "data":
                pattern = part.findtext(_RNG + "param[@name='pattern']")
                patterns.append(pattern or ("(?s:.*)" if empty_is_absent else "(?s:.+)"))
            case _:
                anything = True
    return Datatype(
        values,
        tuple(patterns),
        anything,
        expected,
        having,
        plugin,
        spellings,
        packages,
        empty_is_absent,
        default,
    )


def _state(element: etree._Element) -> State:
    match element.get(_STATE):
        case "accepted":
            return "accepted"
        case "refused":
            return "refused"
    return "honoured"
