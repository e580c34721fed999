//! The tree of path templates, one per product, in one flat vector of nodes.

use super::is_version;
use crate::twilio::method::Method;
use crate::twilio::path::CanonicalPath;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::num::NonZeroU16;

/// One segment of the templates that share what stands before it.
#[derive(Default)]
pub(super) struct Node {
    /// Literal segments that follow, in [`order`], and their nodes.
    pub literals: Vec<(&'static str, Place)>,
    /// The same literals' stems.
    pub stems: Box<[(Box<str>, Place)]>,
    /// The node of a parameter that follows.
    pub param: Option<Place>,
    /// Operations that end here: GET, POST, PUT, PATCH, DELETE.
    pub operations: [Option<Place>; 5],
    /// What stands for other methods here; `None` if no operation ends here.
    pub resource: Option<Place>,
}

/// Where a node or an operation is, in two bytes even where there may be none: most of a node is such places.
#[derive(Clone, Copy)]
pub(super) struct Place(NonZeroU16);

impl Place {
    pub(super) fn new(index: usize) -> Self {
        let number = u16::try_from(index + 1).ok().and_then(NonZeroU16::new);
        Self(number.expect("the table has some thousand nodes and operations"))
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

/// Shorter before longer: most comparisons of a search are then of two numbers.
pub(super) fn order(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl Node {
    pub(super) fn operation(&self, method: Method) -> Option<Place> {
        slot(method).and_then(|slot| self.operations[slot])
    }
}

/// Where a method's operation is kept. HEAD is judged as GET.
pub(super) const fn slot(method: Method) -> Option<usize> {
    match method {
        Method::Get | Method::Head => Some(0),
        Method::Post => Some(1),
        Method::Put => Some(2),
        Method::Patch => Some(3),
        Method::Delete => Some(4),
        Method::Options => None,
    }
}

/// The decoded segments that the host sees; on the 2010 API without the format suffix.
pub(super) struct Segments<'p, 'a> {
    path: &'p CanonicalPath<'a>,
    /// How many leading segments the host does not see.
    skip: usize,
    /// Whether a suffix selects the format.
    suffixed: bool,
}

impl<'p, 'a> Segments<'p, 'a> {
    pub(super) const fn new(path: &'p CanonicalPath<'a>, skip: usize, suffixed: bool) -> Self {
        Self { path, skip, suffixed }
    }

    /// The segment at `at`; `None` behind the last one.
    fn get(&self, at: usize) -> Option<Cow<'a, str>> {
        let index = self.skip + at;
        let text = self.path.segment(index)?.decoded();
        if !self.suffixed || index + 1 < self.path.len() {
            return Some(text);
        }
        let Some(cut) = FORMATS.iter().find_map(|suffix| text.strip_suffix(suffix)).map(str::len) else {
            return Some(text);
        };
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..cut]),
            Cow::Owned(mut text) => {
                text.truncate(cut);
                Cow::Owned(text)
            }
        })
    }
}

/// Suffixes that select a format on the 2010 API (Twilio docs, "Twilio's response").
const FORMATS: [&str; 3] = [".json", ".xml", ".csv"];

/// The node whose template the segments fit, and which of them are parameters. Literals win over parameters; where a
/// literal leads nowhere, the parameter is tried, so that at most the whole tree is walked once.
pub(super) fn find<'t>(nodes: &'t [Node], root: usize, segments: &Segments<'_, '_>) -> Option<(&'t Node, u16)> {
    fn walk<'t>(nodes: &'t [Node], node: usize, segments: &Segments<'_, '_>, at: usize) -> Option<(&'t Node, u16)> {
        let node = &nodes[node];
        let Some(text) = segments.get(at) else {
            return node.resource.is_some().then_some((node, 0));
        };
        let literal = node.literals.binary_search_by(|(literal, _)| order(literal, &text));
        if let Ok(index) = literal
            && let Some(found) = walk(nodes, node.literals[index].1.index(), segments, at + 1)
        {
            return Some(found);
        }
        let param = node.param.filter(|_| !text.is_empty())?;
        walk(nodes, param.index(), segments, at + 1).map(|(node, params)| (node, params | 1 << at))
    }
    walk(nodes, root, segments, 0)
}

/// The node that a careless reader could take the path for: stems instead of segments, any version for any other.
pub(super) fn find_near<'t>(nodes: &'t [Node], root: usize, stems: &[String]) -> Option<&'t Node> {
    fn walk<'t>(nodes: &'t [Node], node: usize, stems: &[String], at: usize) -> Option<&'t Node> {
        let node = &nodes[node];
        let Some(stem) = stems.get(at) else {
            return node.resource.is_some().then_some(node);
        };
        let near = |literal: &str| literal == stem || at == 0 && is_version(literal) && is_version(stem);
        let literals = node.stems.iter().filter(|(literal, _)| near(literal)).map(|(_, next)| *next);
        literals.chain(node.param).find_map(|next| walk(nodes, next.index(), stems, at + 1))
    }
    walk(nodes, root, stems, 0)
}
