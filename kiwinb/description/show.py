"""A description as text: XML, YAML, TOML, and how two of them differ.

YAML and TOML use the names of KIWI NG's own conversion: an attribute is ``@name``, the text of an
element with attributes is ``#text``, and an element that occurs several times is a list.
"""

from __future__ import annotations

from lxml import etree

from kiwinb.description.validate import without_bases
from kiwinb.description.xml import children, tag

_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"

Node = dict[str, "Node | list[Node] | str | None"] | str | None


def to_xml(tree: etree._ElementTree) -> str:
    """The document as indented XML with a declaration, ending in a line end."""
    root = without_bases(tree.getroot())
    for element in root.iter():
        if not len(element) and element.text is not None and not element.text.strip():
            element.text = None  # text around children that were left out
    etree.indent(root)
    text = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def to_yaml(tree: etree._ElementTree) -> str:
    """The document as YAML, ending in a line end."""
    import yaml  # builds need none of these

    return yaml.safe_dump(to_data(tree), sort_keys=False, allow_unicode=True, width=100)


def to_data(tree: etree._ElementTree) -> dict[str, Node]:
    """The document as plain data, with the names of the YAML form."""
    root = without_bases(tree.getroot())
    return {tag(root): _node(root)}


def to_toml(tree: etree._ElementTree) -> str:
    """The document as TOML; an empty element becomes an empty string."""
    import tomli_w

    return tomli_w.dumps({name: _without_none(node) for name, node in to_data(tree).items()})


def diff(old: etree._ElementTree, new: etree._ElementTree) -> str:
    """A unified diff of the XML of two documents; empty if they are equal."""
    import difflib

    return "".join(
        difflib.unified_diff(
            to_xml(old).splitlines(keepends=True),
            to_xml(new).splitlines(keepends=True),
            str(old.docinfo.URL or "old"),
            str(new.docinfo.URL or "new"),
        )
    )


def _node(element: etree._Element, outer: etree._Element | None = None) -> Node:
    node: dict[str, Node | list[Node] | str | None] = {}
    known = {} if outer is None else outer.nsmap
    for prefix, uri in element.nsmap.items():
        if known.get(prefix) != uri:
            node[f"@xmlns:{prefix}" if prefix else "@xmlns"] = uri
    prefixes = {uri: prefix for prefix, uri in element.nsmap.items()} | {_XML_NAMESPACE: "xml"}
    for key, value in element.attrib.items():
        name = etree.QName(str(key))
        prefix = f"{prefixes[name.namespace]}:" if name.namespace else ""
        node[f"@{prefix}{name.localname}"] = str(value)
    inner: dict[str, list[Node]] = {}
    for child in children(element):
        inner.setdefault(tag(child), []).append(_node(child, element))
    for name_of_child, nodes in inner.items():
        node[name_of_child] = nodes[0] if len(nodes) == 1 else nodes
    text = "".join([element.text or "", *(part.tail or "" for part in element)]).strip()
    if not node:
        return text or None
    if text:
        node["#text"] = text
    return node


def _without_none(node: Node | list[Node]) -> object:
    if isinstance(node, dict):
        return {name: _without_none(item) for name, item in node.items()}
    if isinstance(node, list):
        return [_without_none(item) for item in node]
    return node or ""
