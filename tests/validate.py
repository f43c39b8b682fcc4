"""Checks what listend publishes with readers and schemas that listend did not write.

    validate.py atom|rss|json|opml|page FILE…     each file is valid
    validate.py same ATOM RSS JSON                three files say the same entries

Creates nothing. Prints one line for each fault and exits with 1 if there was one. The schemas (RELAX NG for Atom, JSON
Schema for JSON Feed) are looked for in $LISTEND_CORPUS/schemas, by default ../shared/corpus/schemas from the project's
root; where they are absent, a line says so and the other rules are still checked.
"""

import email.utils
import html.parser
import json
import os
import pathlib
import re
import sys

import feedparser
import jsonschema
from lxml import etree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = pathlib.Path(os.environ.get("LISTEND_CORPUS") or ROOT / "../shared/corpus") / "schemas"
ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

faults = []


def check(holds, path, what):
    if not holds:
        faults.append(f"{path}: {what}")


def schema(name):
    path = SCHEMAS / name
    if path.exists():
        return path
    print(f"no {name} in {SCHEMAS}: its rules are not checked")
    return None


def check_dates(path, root, names):
    for name in names:
        for element in root.iter(name):
            check(RFC3339.fullmatch(element.text or ""), path, f"{name}: {element.text!r} is no RFC 3339 time")


def check_links(path, root):
    for link in root.iter(ATOM + "link"):
        check(URI.fullmatch(link.get("href", "")), path, f"link {link.get('href')!r} is no URI")
    pages = [link for link in root.findall(ATOM + "link") if link.get("rel") == "self"]
    check(len(pages) == 1, path, "not one link to itself")


def atom(path):
    tree = etree.parse(path)
    rng = schema("atom.rng")
    if rng:
        # lxml doesn't know the Schematron rules inside; they are checked by hand below.
        relaxng = etree.RelaxNG(etree.parse(str(rng)))
        check(relaxng.validate(tree), path, str(relaxng.error_log.last_error))
    root = tree.getroot()
    entries = root.findall(ATOM + "entry")
    ids = [entry.findtext(ATOM + "id") for entry in entries]
    check(len(ids) == len(set(ids)), path, "two entries share an id")
    for identifier in [*ids, root.findtext(ATOM + "id")]:
        check(re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S+$", identifier or ""), path, f"id {identifier!r} is no IRI")
    for entry in entries:
        check(entry.findall(ATOM + "author"), path, "an entry without an author")
        for name in entry.iter(ATOM + "name"):
            check((name.text or "").strip(), path, "an author without a name")
        alternates = [link for link in entry.findall(ATOM + "link") if link.get("rel", "alternate") == "alternate"]
        check(len(alternates) <= 1, path, "several alternate links")
        check(alternates or entry.find(ATOM + "content") is not None, path, "neither alternate link nor content")
        source = entry.find(ATOM + "source")
        check(source is not None and source.findtext(ATOM + "title"), path, "an entry without a source")
    check_links(path, root)
    check_dates(path, root, [ATOM + "updated", ATOM + "published"])
    feedparser_reads(path, len(entries))


def rss(path):
    channel = etree.parse(path).getroot().find("channel")
    for name in ["title", "link", "description", "lastBuildDate", "generator"]:
        check(len(channel.findall(name)) == 1, path, f"the channel has not one {name}")
    check_links(path, channel)
    check_dates(path, channel, [ATOM + "updated"])
    items = channel.findall("item")
    guids = [item.findtext("guid") for item in items]
    check(len(guids) == len(set(guids)), path, "two items share a guid")
    for item in items:
        once = ["title", "link", "description", "guid", "pubDate", "comments", "enclosure", "source"]
        for name in [*once, CONTENT + "encoded"]:
            check(len(item.findall(name)) <= 1, path, f"an item with several {name}")
        check(item.find("title") is not None or item.find("description") is not None, path, "neither title nor description")
        for name in ["link", "comments"]:
            address = item.findtext(name)
            check(address is None or URI.fullmatch(address), path, f"{name} {address!r} is no URI")
        guid = item.find("guid")
        if guid.get("isPermaLink") != "false":
            check(guid.text == item.findtext("link"), path, f"guid {guid.text!r} says that it is the link")
        date = item.findtext("pubDate")
        check(re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", date or ""), path, f"pubDate {date!r}")
        check(email.utils.parsedate_tz(date) is not None, path, f"pubDate {date!r}")
        source = item.find("source")
        check(source is not None and URI.fullmatch(source.get("url", "")) and source.text, path, "an item without a source")
        enclosure = item.find("enclosure")
        if enclosure is not None:
            check(URI.fullmatch(enclosure.get("url", "")), path, "an enclosure without an address")
            check(enclosure.get("length", "").isdigit() and "/" in enclosure.get("type", ""), path, "enclosure")
    feedparser_reads(path, len(items))


def feedparser_reads(path, n):
    with open(path, "rb") as file:
        parsed = feedparser.parse(file.read())
    check(not parsed.bozo, path, f"feedparser: {parsed.get('bozo_exception')}")
    check(len(parsed.entries) == n, path, f"feedparser reads {len(parsed.entries)} of {n} entries")


def json_feed(path):
    feed = json.loads(pathlib.Path(path).read_text("utf-8"))
    draft = schema("schema-v1.1.json")
    if draft:
        validator = jsonschema.Draft7Validator(json.loads(draft.read_text("utf-8")))
        for error in validator.iter_errors(feed):
            faults.append(f"{path}: {error.json_path}: {error.message}")
    check(feed["version"] == "https://jsonfeed.org/version/1.1", path, "another version")
    ids = [item["id"] for item in feed["items"]]
    check(len(ids) == len(set(ids)), path, "two items share an id")
    for item in feed["items"]:
        check("content_html" in item or "content_text" in item, path, "an item without content")
        check(item["authors"] and all(author["name"].strip() for author in item["authors"]), path, "authors")
        check(URI.fullmatch(item.get("url", "x:y")), path, f"url {item.get('url')!r} is no URI")
        for key in ["date_published", "date_modified"]:
            check(RFC3339.fullmatch(item.get(key, "2000-01-01T00:00:00Z")), path, f"{key} {item.get(key)!r}")
        check(item["_listend"]["source"]["title"], path, "an item without a source")


def opml(path):
    root = etree.parse(path).getroot()
    check(root.tag == "opml" and root.get("version") == "2.0", path, "no OPML 2.0")
    check([child.tag for child in root] == ["head", "body"], path, "not a head and a body")
    for outline in root.iter("outline"):
        check("text" in outline.attrib, path, "an outline without text")
    for value in root.xpath("//@*"):
        check("secret" not in value, path, f"credentials in {value!r}")


class Page(html.parser.HTMLParser):
    """Reads a page for people and notes what must not be in it."""

    VOID = {"br", "hr", "input", "link", "meta", "wbr"}
    LOADING = {"script", "img", "iframe", "video", "audio", "source", "embed", "object", "style"}

    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.ids, self.levels, self.labels, self.fields = path, [], [], [], set(), set()
        self.landmarks = {"main": 0, "h1": 0}

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        check(tag not in self.LOADING, self.path, f"<{tag}> loads or runs something")
        check(not any(name.startswith("on") or name in ("style", "src") for name in attributes), self.path, f"<{tag} {attributes}>")
        if tag == "link" and attributes.get("rel") == "stylesheet":
            check(re.fullmatch(r"/style-[0-9a-f]{12}\.css", attributes["href"]), self.path, "a style sheet from elsewhere")
        if tag in ("a", "form"):
            address = attributes.get("href") or attributes.get("action") or "/"
            check(re.match(r"(https?://|mailto:|/(?!/)|#)", address), self.path, f"a link to {address!r}")
        if tag in self.landmarks:
            self.landmarks[tag] += 1
        if re.fullmatch("h[1-6]", tag):
            level = int(tag[1])
            check(level <= (self.levels[-1] if self.levels else 0) + 1, self.path, f"<{tag}> skips a level")
            self.levels.append(level)
        if tag == "label":
            self.labels.add(attributes.get("for"))
        if tag == "input" and attributes.get("type") != "hidden":
            self.fields.add(attributes.get("id"))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if "aria-labelledby" in attributes:
            self.labels.add(attributes["aria-labelledby"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        check(self.open and self.open[-1] == tag, self.path, f"</{tag}> ends {self.open[-1:]}")
        if self.open:
            self.open.pop()


def page(path):
    text = pathlib.Path(path).read_text("utf-8")
    reader = Page(path)
    reader.feed(text)
    reader.close()
    check(text.startswith("<!DOCTYPE html>"), path, "no document type")
    check(not reader.open, path, f"never closed: {reader.open}")
    check(reader.landmarks == {"main": 1, "h1": 1}, path, f"{reader.landmarks}")
    check(len(reader.ids) == len(set(reader.ids)), path, "two elements share an id")
    check(reader.fields <= reader.labels, path, "a field without a label")
    check(reader.labels <= set(reader.ids), path, "a label for nothing")


def same(atom_path, rss_path, json_path):
    """Number, ids, titles, links and dates (to the second) of the entries agree."""

    def of_xml(path):
        with open(path, "rb") as file:
            parsed = feedparser.parse(file.read(), sanitize_html=False, resolve_relative_uris=False)
        return [(e.get("id"), e.get("title", "").strip(), e.get("link", ""), e.get("published_parsed") or e.get("updated_parsed")) for e in parsed.entries]

    def of_json(item):
        date = re.sub(r"\.\d+Z", "Z", item["date_published"])
        parsed = feedparser.datetimes._parse_date(date)
        return item["id"], item.get("title", ""), item.get("url", ""), parsed

    atom_entries, rss_entries = of_xml(atom_path), of_xml(rss_path)
    json_entries = [of_json(item) for item in json.loads(pathlib.Path(json_path).read_text("utf-8"))["items"]]
    check(len(atom_entries) == len(rss_entries) == len(json_entries), atom_path, "not the same number of entries")
    for a, r, j in zip(atom_entries, rss_entries, json_entries):
        identifier, title, link, _ = j
        # Without a link feedparser takes Atom's id for one; and in RSS it takes a title with tags in it for HTML.
        a = (*a[:2], link if (link, a[2]) == ("", identifier) else a[2], a[3])
        r = (r[0], title if "<" in title else r[1], *r[2:])
        check(a == j, atom_path, f"Atom says {a}, JSON {j}")
        check(r == j, rss_path, f"RSS says {r}, JSON {j}")


def main():
    kind, *files = sys.argv[1:]
    if kind == "same":
        same(*files)
    else:
        for path in files:
            {"atom": atom, "rss": rss, "json": json_feed, "opml": opml, "page": page}[kind](path)
    print("\n".join(faults) or f"{kind}: {len(files)} files without a fault")
    sys.exit(bool(faults))


main()
