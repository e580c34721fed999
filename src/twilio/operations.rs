//! The operation table: every operation that Twilio publishes, found by host, method and path.
//!
//! `operations.tsv` is OpenAPI 2.6.7 (host, method, template, operation id), read once into a tree per product.
//! `operations_newer.tsv` adds what newer SDKs have and the published files don't. A lookup allocates nothing unless a
//! segment has escapes. Matching is case-sensitive, as Twilio's own is (Twilio docs, error 20404); what is in no table
//! is judged by [`super::management`] instead.

use super::address::{API_VERSION, Address};
use super::host::Product;
use super::management::{self, Class};
use super::method::Method;
use super::path::CanonicalPath;
use std::fmt;
use std::sync::LazyLock;
use tree::{Node, Segments};

mod build;
mod tree;

/// What kind of knowledge stands behind an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is in the table.
    Operation,
    /// Its path is in the table, with other methods.
    Resource,
    /// Only its host is known.
    Host,
}

/// One operation.
pub struct Operation {
    name: Box<str>,
    product: Product,
    known: Known,
    method: Option<Method>,
    template: &'static str,
    class: Class,
    body_selector: bool,
}

impl Operation {
    /// Product, literal segments, verb: `api:Messages:create`, `api:Messages.Media:list`. A path that is known with
    /// other methods ends in `:unknown`, a path that is not known is `<product>:unknown`.
    pub fn name(&'static self) -> &'static str {
        &self.name
    }

    /// Whose operation it is.
    pub const fn product(&self) -> Product {
        self.product
    }

    /// What kind of knowledge stands behind it.
    pub const fn known(&self) -> Known {
        self.known
    }

    /// Its method; `None` unless it is in the table.
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// Its path template as published; empty unless its path is known.
    pub const fn template(&self) -> &'static str {
        self.template
    }

    /// Who may use it. For a path that is not known, see [`Match::class`].
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Whether its body can name another account.
    pub const fn body_selector(&self) -> bool {
        self.body_selector
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {} {:?}", self.name, self.method, self.template, self.class)
    }
}

/// What a request was found to be.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// The operation, or what stands for it.
    pub operation: &'static Operation,
    /// Who may use it.
    pub class: Class,
    /// Whether the body must be read for selectors.
    pub body_selector: bool,
    /// Bit i: segment i of the host's path stands where the template has a parameter.
    pub params: u16,
}

/// Finds what `method` on `path` at `address` is.
pub fn lookup(address: &Address<'_>, method: Method, path: &CanonicalPath<'_>) -> Match {
    let table = &*TABLE;
    let product = address.product();
    let segments = Segments::new(path, address.skip(), product == Product::API);
    let Some((node, params)) = tree::find(&table.nodes, table.roots[product.index()], &segments) else {
        return unknown(product, address, path);
    };
    let id = node.operation(method).or(node.resource);
    let operation = id.map_or(&table.unknown[product.index()], |id| &table.operations[id.index()]);
    Match { operation, class: operation.class, body_selector: operation.body_selector && sends(method), params }
}

/// Every operation of the table, in its order.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    TABLE.operations.iter().filter(|operation| operation.known == Known::Operation)
}

/// Every name that a lookup can come to, those that stand for what is not in the table too.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.operations.iter().chain(&TABLE.unknown).map(Operation::name)
}

/// Reads the table now, so that no request waits for it.
pub fn prepare() {
    LazyLock::force(&TABLE);
}

fn unknown(product: Product, address: &Address<'_>, path: &CanonicalPath<'_>) -> Match {
    let table = &*TABLE;
    let mut found =
        Match { operation: &table.unknown[product.index()], class: Class::Open, body_selector: false, params: 0 };
    // `Accounts/AC…/.json` is `json` to some readers, and to those that cut suffixes off the account itself.
    for with_suffixes in [true, false] {
        let segments = address.segments(path).map(|segment| segment.decoded());
        let segments = segments.filter(|text| with_suffixes || !management::is_suffix(text));
        // A segment of nothing but punctuation says nothing, and some readers drop it.
        let stems: Vec<_> = segments.map(|text| management::stem(&text)).filter(|stem| !stem.is_empty()).collect();
        let near = tree::find_near(&table.nodes, table.roots[product.index()], &stems)
            .and_then(|node| node.resource)
            .map(|id| &table.operations[id.index()]);
        if near.is_some_and(|near| near.class != Class::Open) || management::unknown_is_core(product, &stems) {
            found.class = Class::Core;
        }
        found.body_selector |= near.is_some_and(|near| near.body_selector);
    }
    found
}

const fn sends(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// Everything known, read once.
struct Table {
    operations: Vec<Operation>,
    nodes: Vec<Node>,
    /// By product: its tree.
    roots: Vec<usize>,
    /// By product: what stands for a path that is not known.
    unknown: Vec<Operation>,
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| build::table(&[include_str!("operations.tsv"), include_str!("operations_newer.tsv")]));

/// Whether a first segment is a version (`v1`, `2010-04-01`).
fn is_version(segment: &str) -> bool {
    segment == API_VERSION
        || segment
            .strip_prefix(['v', 'V'])
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
