//! The tree of a page as the parser builds it: nodes in an arena that is dropped as a whole, linked by plain references.
//!
//! Nothing is done here that a page can see: comments and doctypes keep a place and lose their words, parse errors are
//! ignored. Called by `html.rs`; `html_dom.rs` and `html_writer.rs` read it.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::{Attribute, QualName};
use typed_arena::Arena;

type Link<'a> = Cell<Option<&'a Node<'a>>>;

/// Its links change while the page is parsed and not afterwards.
pub struct Node<'a> {
    parent: Link<'a>,
    previous: Link<'a>,
    next: Link<'a>,
    first: Link<'a>,
    last: Link<'a>,
    data: Data<'a>,
}

enum Data<'a> {
    Document,
    Text(RefCell<StrTendril>),
    Element(Element<'a>),
    /// A comment, a processing instruction or a doctype: parts two texts, says nothing.
    Silent,
}

struct Element<'a> {
    name: QualName,
    attributes: RefCell<Vec<Attribute>>,
    /// What a <template> holds: never among its children.
    contents: Option<&'a Node<'a>>,
    integration_point: bool,
}

impl<'a> Node<'a> {
    fn new(data: Data<'a>) -> Node<'a> {
        Node {
            parent: Cell::default(),
            previous: Cell::default(),
            next: Cell::default(),
            first: Cell::default(),
            last: Cell::default(),
            data,
        }
    }

    /// The tag; None for everything that is no element.
    pub fn name(&self) -> Option<&str> {
        match &self.data {
            Data::Element(element) => Some(&element.name.local),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<Ref<'_, str>> {
        match &self.data {
            Data::Text(text) => Some(Ref::map(text.borrow(), |text| &**text)),
            _ => None,
        }
    }

    pub fn attribute(&self, wanted: &str) -> Option<String> {
        let Data::Element(element) = &self.data else {
            return None;
        };
        let attributes = element.attributes.borrow();
        let found = attributes.iter().find(|one| &*one.name.local == wanted)?;
        Some(found.value.to_string())
    }

    pub fn children(&self) -> impl Iterator<Item = &'a Node<'a>> + use<'a> {
        std::iter::successors(self.first.get(), |child| child.next.get())
    }

    pub fn children_backwards(&self) -> impl Iterator<Item = &'a Node<'a>> + use<'a> {
        std::iter::successors(self.last.get(), |child| child.previous.get())
    }

    /// The parser only asks for the names of elements.
    fn element(&self) -> &Element<'a> {
        match &self.data {
            Data::Element(element) => element,
            _ => unreachable!("the parser took a node for an element"),
        }
    }

    fn detach(&self) {
        let parent = self.parent.take();
        let (previous, next) = (self.previous.take(), self.next.take());
        match (next, parent) {
            (Some(next), _) => next.previous.set(previous),
            (None, Some(parent)) => parent.last.set(previous),
            (None, None) => {}
        }
        match (previous, parent) {
            (Some(previous), _) => previous.next.set(next),
            (None, Some(parent)) => parent.first.set(next),
            (None, None) => {}
        }
    }

    fn append(&'a self, child: &'a Node<'a>) {
        child.detach();
        child.parent.set(Some(self));
        match self.last.replace(Some(child)) {
            Some(last) => {
                child.previous.set(Some(last));
                last.next.set(Some(child));
            }
            None => self.first.set(Some(child)),
        }
    }

    fn insert_before(&'a self, child: &'a Node<'a>) {
        child.detach();
        let parent = self.parent.get();
        child.parent.set(parent);
        child.next.set(Some(self));
        match (self.previous.replace(Some(child)), parent) {
            (Some(previous), _) => {
                child.previous.set(Some(previous));
                previous.next.set(Some(child));
            }
            (None, Some(parent)) => parent.first.set(Some(child)),
            (None, None) => {}
        }
    }
}

/// What the parser writes to.
pub struct Sink<'a> {
    nodes: &'a Arena<Node<'a>>,
    pub document: &'a Node<'a>,
}

impl<'a> Sink<'a> {
    pub fn new(nodes: &'a Arena<Node<'a>>) -> Sink<'a> {
        let document = nodes.alloc(Node::new(Data::Document));
        Sink { nodes, document }
    }

    fn node(&self, data: Data<'a>) -> &'a Node<'a> {
        self.nodes.alloc(Node::new(data))
    }

    /// Neighbouring texts become one; None when `child` went into the one before it.
    fn placed(
        &self,
        child: NodeOrText<&'a Node<'a>>,
        before: Option<&'a Node<'a>>,
    ) -> Option<&'a Node<'a>> {
        match (child, before.map(|node| &node.data)) {
            (NodeOrText::AppendNode(node), _) => Some(node),
            (NodeOrText::AppendText(text), Some(Data::Text(before))) => {
                before.borrow_mut().push_tendril(&text);
                None
            }
            (NodeOrText::AppendText(text), _) => Some(self.node(Data::Text(RefCell::new(text)))),
        }
    }
}

impl<'a> TreeSink for Sink<'a> {
    type Handle = &'a Node<'a>;
    type Output = &'a Node<'a>;
    type ElemName<'n>
        = &'n QualName
    where
        Self: 'n;

    fn finish(self) -> &'a Node<'a> {
        self.document
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> &'a Node<'a> {
        self.document
    }

    fn elem_name<'n>(&'n self, target: &'n &'a Node<'a>) -> &'n QualName {
        &target.element().name
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        flags: ElementFlags,
    ) -> &'a Node<'a> {
        let contents = flags.template.then(|| self.node(Data::Document));
        self.node(Data::Element(Element {
            name,
            attributes: RefCell::new(attributes),
            contents,
            integration_point: flags.mathml_annotation_xml_integration_point,
        }))
    }

    fn create_comment(&self, _: StrTendril) -> &'a Node<'a> {
        self.node(Data::Silent)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> &'a Node<'a> {
        self.node(Data::Silent)
    }

    fn append(&self, parent: &&'a Node<'a>, child: NodeOrText<&'a Node<'a>>) {
        if let Some(child) = self.placed(child, parent.last.get()) {
            parent.append(child);
        }
    }

    fn append_based_on_parent_node(
        &self,
        element: &&'a Node<'a>,
        previous: &&'a Node<'a>,
        child: NodeOrText<&'a Node<'a>>,
    ) {
        if element.parent.get().is_some() {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {
        self.document.append(self.node(Data::Silent));
    }

    fn get_template_contents(&self, target: &&'a Node<'a>) -> &'a Node<'a> {
        // Every template has some; without them its own children would do.
        target.element().contents.unwrap_or(target)
    }

    fn same_node(&self, one: &&'a Node<'a>, other: &&'a Node<'a>) -> bool {
        std::ptr::eq(*one, *other)
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &&'a Node<'a>, child: NodeOrText<&'a Node<'a>>) {
        if let Some(child) = self.placed(child, sibling.previous.get()) {
            sibling.insert_before(child);
        }
    }

    fn add_attrs_if_missing(&self, target: &&'a Node<'a>, attributes: Vec<Attribute>) {
        let mut present = target.element().attributes.borrow_mut();
        for attribute in attributes {
            if present.iter().all(|one| one.name != attribute.name) {
                present.push(attribute);
            }
        }
    }

    fn remove_from_parent(&self, target: &&'a Node<'a>) {
        target.detach();
    }

    fn reparent_children(&self, node: &&'a Node<'a>, parent: &&'a Node<'a>) {
        while let Some(child) = node.first.get() {
            parent.append(child);
        }
    }

    fn is_mathml_annotation_xml_integration_point(&self, target: &&'a Node<'a>) -> bool {
        target.element().integration_point
    }
}
