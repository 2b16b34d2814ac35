"""Validate a description against the schema; errors say what to write instead.

This module checks the rules of the schema (see ``kiwinb.description.schema.rules``), each element
once, in time linear in the size of the document. libxml2's own RELAX NG validation doubles its work
with each optional attribute or interleaved child, and does not end for a full ``<type>``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import islice

from lxml import etree

from kiwinb.description.schema.rules import (
    AttributeRule,
    Datatype,
    ElementRule,
    element_rules,
    normal,
    owners,
    parents,
)
from kiwinb.description.xml import BASE, children, elements, location, tag
from kiwinb.errors import DescriptionError, DescriptionErrors
from kiwinb.spelling import listed, near_names, shortened
from kiwinb.steps.registry import added_names

MOST_ERRORS = 500
"""The maximum number of errors to report."""


def validate(tree: etree._ElementTree) -> None:
    """Validate a document against the schema.

    Args:
        tree: A document of the current schema version, as read.

    Raises:
        DescriptionErrors: The document is invalid; lists all errors.
    """
    root = tree.getroot()
    if root.tag != "image":
        errors = [_error(root, f"the root element is <{tag(root)}>", "It is <image>.")]
    else:
        errors = list(islice(_element_errors(root, element_rules()["image"]), MOST_ERRORS))
    if errors:
        raise DescriptionErrors(errors)


def without_bases(root: etree._Element) -> etree._Element:
    """A copy of the document without the file names that the reader added."""
    plain = copy.deepcopy(root)
    for element in elements(plain):
        if BASE in element.attrib:
            del element.attrib[BASE]
    return plain


def _error(element: etree._Element, problem: str, remedy: str) -> DescriptionError:
    return DescriptionError(shortened(problem), remedy=remedy, location=location(element))


def _element_errors(element: etree._Element, rule: ElementRule) -> Iterator[DescriptionError]:
    yield from _attribute_errors(element, rule)
    yield from _text_errors(element, rule)
    seen: dict[str, etree._Element] = {}
    for child in children(element):
        if rule.foreign:
            if etree.QName(child).namespace is None:
                yield _error(
                    child,
                    f"<{tag(child)}> in <{rule.name}> has no namespace",
                    "Give it a prefix and declare that with xmlns:PREFIX.",
                )
            continue
        known = rule.children.get(str(child.tag))
        if known is None:
            yield _unknown_child(child, rule)
            continue
        first = seen.setdefault(str(child.tag), child)
        if first is not child and known.most == 1:
            yield _error(
                child,
                f"there is more than one <{child.tag}> in <{rule.name}>",
                f"Keep one; the first is in {location(first).file}, line {location(first).line}.",
            )
        yield from _element_errors(child, element_rules()[known.rule])
    for name, known in rule.children.items():
        if known.least and name not in seen:
            yield _error(
                element,
                f"<{name}> is missing in <{rule.name}>",
                f"Add <{name}>: {element_rules()[known.rule].text}",
            )


def _attribute_errors(element: etree._Element, rule: ElementRule) -> Iterator[DescriptionError]:
    present = {_attribute_name(element, str(key)): value for key, value in element.attrib.items()}
    present.pop("xml:base", None)
    for name, value in present.items():
        known = rule.attributes.get(name)
        if known is None:
            yield _unknown_attribute(element, name, rule, set(present))
        elif not known.datatype.accepts(str(value)):
            yield _bad_value(element, known, str(value))
    for name, known in rule.attributes.items():
        if known.required and name not in present:
            yield _error(
                element,
                f"the attribute {name} of <{rule.name}> is missing",
                f'Add {name}="…": {known.text}{_allowed(known.datatype)}',
            )


def _text_errors(element: etree._Element, rule: ElementRule) -> Iterator[DescriptionError]:
    if rule.content is None:
        texts = [element.text, *(child.tail for child in element)]
        found = next((text for text in texts if text and normal(text)), None)
        if found is not None and not rule.foreign:
            yield _error(
                element,
                f"<{rule.name}> has the text {_quoted(normal(found))}, but takes none",
                f"Put elements into it: {listed([f'<{name}>' for name in rule.children], '')}."
                if rule.children
                else "Remove the text.",
            )
        return
    text = "".join([element.text or "", *(child.tail or "" for child in element)])
    if not rule.content.accepts(text):
        problem = (
            f"{_quoted(normal(text))} is not allowed in <{rule.name}>"
            if normal(text)
            else f"<{rule.name}> is empty"
        )
        yield _error(
            element,
            problem + _did_you_mean(normal(text), rule.content.values),
            f"{rule.text}{_allowed(rule.content)}",
        )


def _attribute_name(element: etree._Element, key: str) -> str:
    """The name of an attribute, with the prefix that the schema uses, or else the document."""
    name = etree.QName(key)
    prefixes = {
        "http://www.w3.org/2001/XMLSchema-instance": "xsi",
        "http://www.w3.org/XML/1998/namespace": "xml",
    }
    if name.namespace is None:
        return name.localname
    own = {uri: prefix for prefix, uri in element.nsmap.items() if prefix}
    return f"{prefixes.get(name.namespace) or own.get(name.namespace, '')}:{name.localname}"


def _unknown_child(child: etree._Element, rule: ElementRule) -> DescriptionError:
    name = tag(child)
    if etree.QName(child).namespace is not None:
        return _error(
            child,
            f"<{name}> is of another namespace",
            "Put elements of other tools into <extension>.",
        )
    places = parents(name)
    if places and rule.name not in places:
        return _error(
            child,
            f"<{name}> is not allowed in <{rule.name}>",
            f"It belongs into {_brackets(places)}.",
        )
    near = _nearest(name, rule.children) or _nearest(
        name, {other.name for other in element_rules().values()}
    )
    if near is not None:
        problem = f"there is no element <{name}>: did you mean <{near}>?"
        if near not in rule.children:
            return _error(child, problem, f"It belongs into {_brackets(parents(near))}.")
    else:
        problem = f"there is no element <{name}>"
    allowed = listed([f"<{other}>" for other in rule.children], f"<{name}>") or "nothing"
    return _error(child, problem, f"<{rule.name}> takes {allowed}.")


def _unknown_attribute(
    element: etree._Element, name: str, rule: ElementRule, present: set[str]
) -> DescriptionError:
    free = [known for known in rule.attributes if known not in present]
    near = _nearest(name, free)
    if near is not None:
        problem = f"<{rule.name}> has no attribute {name}: did you mean {near}?"
    else:
        problem = f"<{rule.name}> has no attribute {name}"
    places = owners(name)
    if places and near is None:
        return _error(element, problem, f"It belongs to {_brackets(places)}.")
    allowed = listed(list(rule.attributes), name) or "none"
    return _error(element, problem, f"Its attributes are: {allowed}.")


def _bad_value(element: etree._Element, known: AttributeRule, value: str) -> DescriptionError:
    near = _did_you_mean(normal(value), known.datatype.values)
    return _error(
        element,
        f"{known.name}={_quoted(value)} is not allowed{near}",
        f"{known.text}{_allowed(known.datatype)}",
    )


def _allowed(datatype: Datatype) -> str:
    said = ", ".join((*datatype.values, *added_names(datatype.plugin)))
    if datatype.expected:
        said = f"{said}, {datatype.expected}" if said else datatype.expected
    return f" Allowed: {said}." if said else ""


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to this one, if any is similar."""
    return next(iter(near_names(name, known, cutoff=0.65)), None)


def _did_you_mean(value: str, known: Iterable[str]) -> str:
    near = _nearest(value, known)
    return f": did you mean {near}?" if near is not None else ""


def _quoted(text: str) -> str:
    text = text.replace("\n", "\\n")
    return f'"{text}"' if len(text) <= 80 else f'"{text[:79]}…"'


def _brackets(names: Iterable[str]) -> str:
    return ", ".join(f"<{name}>" for name in names)
