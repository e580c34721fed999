//! The table's text → trees and names.

use super::tree::{Node, Place, order, slot};
use super::{Known, Operation, Table, is_version};
use crate::twilio::host::Product;
use crate::twilio::management::{self, Class};
use crate::twilio::method::Method;

/// Reads the tables: host, method, template, operation id, tab-separated.
pub(super) fn table(texts: &[&'static str]) -> Table {
    let mut table = Table {
        operations: Vec::new(),
        nodes: Product::all().map(|_| Node::default()).collect(),
        roots: (0..Product::COUNT).collect(),
        unknown: Product::all().map(|product| stand_in(product, Known::Host, "", "")).collect(),
    };
    for line in texts.iter().flat_map(|text| text.lines()) {
        // A fact of the program, not input: a test reads every line.
        let operation = read(line).expect("a line of the operation table");
        insert(&mut table, operation);
    }
    for node in &mut table.nodes {
        node.literals.sort_unstable_by(|(left, _), (right, _)| order(left, right));
        node.stems = node.literals.iter().map(|(literal, next)| (management::stem(literal).into(), *next)).collect();
    }
    table
}

fn read(line: &'static str) -> Option<Operation> {
    let mut fields = line.split('\t');
    let (host, method, template, id) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let product = Product::by_name(host.strip_suffix(".twilio.com")?)?;
    let method = Method::parse(method.as_bytes())?;
    let verb = VERBS.iter().find(|verb| id.starts_with(**verb))?.to_ascii_lowercase();
    let resource = resource(product, template);
    let name = format!("{product}:{resource}:{verb}");
    Some(Operation {
        class: management::class(product, &name),
        body_selector: management::BODY_SELECTORS.contains(&name.as_str()),
        name: name.into(),
        product,
        known: Known::Operation,
        method: Some(method),
        template,
    })
}

/// What operation ids begin with (OpenAPI 2.6.7).
const VERBS: [&str; 6] = ["List", "Create", "Fetch", "Update", "Delete", "Patch"];

/// The literal segments, joined by dots, without version, format suffix and the 2010 API's `Accounts/{AccountSid}`.
fn resource(product: Product, template: &str) -> String {
    let mut segments: Vec<&str> = template.split('/').skip(1).collect();
    if segments.first().is_some_and(|first| is_version(first)) {
        segments.remove(0);
    }
    if product == Product::API && segments.len() > 2 {
        segments.drain(..2);
    }
    let literals: Vec<&str> = segments.into_iter().filter(|segment| !is_param(segment)).map(bare).collect();
    literals.join(".")
}

fn is_param(segment: &str) -> bool {
    segment.starts_with('{')
}

fn bare(segment: &str) -> &str {
    segment.strip_suffix(".json").unwrap_or(segment)
}

fn insert(table: &mut Table, operation: Operation) {
    let mut at = table.roots[operation.product.index()];
    for segment in operation.template.split('/').skip(1) {
        // Only the 2010 API takes formats by suffix; elsewhere the suffix is a part of the name.
        let segment = if operation.product == Product::API { bare(segment) } else { segment };
        at = step(table, at, segment);
    }
    let resource = match table.nodes[at].resource {
        Some(resource) => resource.index(),
        None => {
            let name = operation.name.rsplit_once(':').map_or("", |(name, _)| name);
            let resource = name.split_once(':').map_or("", |(_, resource)| resource);
            let stand_in = stand_in(operation.product, Known::Resource, resource, operation.template);
            table.operations.push(stand_in);
            table.operations.len() - 1
        }
    };
    // What stands for other methods is as closed as the most closed of the listed ones.
    let other = &mut table.operations[resource];
    other.class = other.class.max(operation.class);
    other.body_selector |= operation.body_selector;
    let id = Place::new(table.operations.len());
    let node = &mut table.nodes[at];
    node.resource = Some(Place::new(resource));
    if let Some(slot) = operation.method.and_then(slot) {
        node.operations[slot] = Some(id);
    }
    table.operations.push(operation);
}

fn step(table: &mut Table, at: usize, segment: &'static str) -> usize {
    let next = table.nodes.len();
    let node = &mut table.nodes[at];
    if is_param(segment) {
        match node.param {
            Some(param) => return param.index(),
            None => node.param = Some(Place::new(next)),
        }
    } else {
        match node.literals.iter().find(|(literal, _)| *literal == segment) {
            Some((_, literal)) => return literal.index(),
            None => {
                // Most have one or two, and there are hundreds.
                node.literals.reserve_exact(1);
                node.literals.push((segment, Place::new(next)));
            }
        }
    }
    table.nodes.push(Node::default());
    next
}

fn stand_in(product: Product, known: Known, resource: &str, template: &'static str) -> Operation {
    let name = match known {
        Known::Host => format!("{product}:unknown"),
        Known::Resource | Known::Operation => format!("{product}:{resource}:unknown"),
    };
    Operation { name: name.into(), product, known, method: None, template, class: Class::Open, body_selector: false }
}
