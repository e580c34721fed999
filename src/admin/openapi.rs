//! The OpenAPI 3.1 document, made from the table of routes.

use super::routes::{Output, ROUTES, Route};
use super::schemas::Schema;
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    let schemas: Map<String, Value> = Schema::ALL.into_iter().map(|schema| (schema.name(), schema.json())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sidekey admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the commands do, as JSON. Errors are RFC 9457 problems with a stable `reason`.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut responses = json!({
        route.status.to_string(): response(route),
        "default": {
            "description": "A problem",
            "content": { "application/problem+json": { "schema": reference(Schema::Problem) } },
        },
    });
    if route.output == Output::One(Schema::Readiness) {
        responses["503"] = response(route);
    }
    let mut operation = json!({
        "operationId": format!("{:?}", route.action),
        "summary": route.summary,
        "responses": responses,
    });
    if let Some(name) = parameter(route.path) {
        let schema = json!({ "type": "string" });
        operation["parameters"] = json!([{ "name": name, "in": "path", "required": true, "schema": schema }]);
    }
    if route.path == "/v1/audit" {
        operation["parameters"] = super::audit::parameters();
    }
    if let Some(input) = route.input {
        let content = json!({ "application/json": { "schema": reference(input) } });
        // A body that may be empty may be left out.
        let required = !input.json()["required"].as_array().is_none_or(Vec::is_empty);
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    if route.open {
        operation["security"] = json!([]);
    }
    operation
}

fn response(route: &Route) -> Value {
    let (kind, schema) = match route.output {
        Output::Nothing => return json!({ "description": "Done" }),
        Output::Text(kind) => (kind, json!({ "type": "string" })),
        Output::One(schema) => ("application/json", reference(schema)),
        Output::Many(schema) => ("application/json", json!({ "type": "array", "items": reference(schema) })),
        Output::Json => ("application/json", json!({ "type": "object" })),
    };
    json!({ "description": "Done", "content": { kind: { "schema": schema } } })
}

fn reference(schema: Schema) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", schema.name()) })
}

/// The name in braces, if there is one.
fn parameter(path: &str) -> Option<&str> {
    path.split_once('{')?.1.split_once('}').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let operations: usize = paths.values().map(|path| path.as_object().map_or(0, Map::len)).sum();
        assert_eq!(operations, ROUTES.len());
        for route in ROUTES {
            let operation = &paths[route.path][route.method.as_str().to_ascii_lowercase()];
            assert!(operation["responses"][route.status.to_string()].is_object(), "{}", route.path);
            assert_eq!(operation["security"].is_array(), route.open, "{}", route.path);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let mut found = 0;
        for piece in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = piece.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
            found += 1;
        }
        assert!(found > ROUTES.len(), "{found}");
    }
}
