//! The shapes of bodies, for the OpenAPI document. A test holds real answers against them.

use serde_json::{Value, json};

/// A named shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    Readiness,
    Team,
    NewTeam,
    TeamChange,
    Token,
    NewToken,
    IssuedToken,
    Key,
    NewKey,
    Rotation,
    Reconciliation,
    Difference,
    AuditRecord,
    Problem,
}

impl Schema {
    /// Every shape.
    pub(super) const ALL: [Self; 14] = [
        Self::Readiness,
        Self::Team,
        Self::NewTeam,
        Self::TeamChange,
        Self::Token,
        Self::NewToken,
        Self::IssuedToken,
        Self::Key,
        Self::NewKey,
        Self::Rotation,
        Self::Reconciliation,
        Self::Difference,
        Self::AuditRecord,
        Self::Problem,
    ];

    /// Its name in the document.
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its JSON schema.
    pub(super) fn json(self) -> Value {
        match self {
            Self::Readiness => readiness(),
            Self::Team => team(),
            Self::NewTeam => new_team(),
            Self::TeamChange => team_change(),
            Self::Token => token(),
            Self::NewToken => closed(
                json!({ "name": text("what it is for"), "expires": duration("how long it is good for; without it, until it is revoked") }),
                &[],
            ),
            Self::IssuedToken => issued_token(),
            Self::Key => key(),
            Self::NewKey => closed(
                json!({
                    "sid": text("with `secret`: import this key instead of creating one"),
                    "secret": text("the secret of `sid`"),
                    "restricted": { "type": "boolean", "description": "whether `sid` is a Restricted key" },
                }),
                &[],
            ),
            Self::Rotation => closed(json!({ "grace": duration("how long the old key is kept; 10m without it") }), &[]),
            Self::Reconciliation => closed(
                json!({ "delete_orphans": { "type": "boolean", "description": "without it, nothing is deleted" } }),
                &[],
            ),
            Self::Difference => difference(),
            Self::AuditRecord => json!({
                "type": "object",
                "description": "A record of the audit, as its file holds it; which fields there are depends on its phase",
                "properties": { "ts": moment(), "phase": text("intent, outcome, admin, …") },
            }),
            Self::Problem => closed(
                json!({
                    "type": text("about:blank"),
                    "title": text("the status in words"),
                    "status": { "type": "integer" },
                    "detail": text("what happened and what to do"),
                    "reason": text("one stable word for programs"),
                }),
                &["type", "title", "status", "detail", "reason"],
            ),
        }
    }
}

fn readiness() -> Value {
    let check = |more: Value| {
        let mut properties = json!({ "usable": { "type": "boolean" } });
        extend(&mut properties, more);
        let required: Vec<String> = properties.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
        closed(properties, &required.iter().map(String::as_str).collect::<Vec<_>>())
    };
    closed(
        json!({
            "ready": { "type": "boolean" },
            "stopping": { "type": "boolean", "description": "no new connections are taken, and requests under way may finish" },
            "store": check(json!({
                "state": { "type": "string", "enum": ["none", "ok", "lost", "stale"] },
                "lost_seconds": { "type": ["integer", "null"] },
                "writable": { "type": ["boolean", "null"] },
            })),
            "audit": check(json!({ "trouble": nullable_text("why records can't be kept") })),
            "keys": check(json!({ "rejected": list(json!({ "type": "string" }), "keys that the upstream refuses; at most 20") })),
            "key_sets": check(json!({
                "without": list(json!({ "type": "string" }), "issuers whose tokens are refused for want of keys; at most 20"),
            })),
        }),
        &["ready", "stopping", "store", "audit", "keys", "key_sets"],
    )
}

fn team_settings() -> Value {
    json!({
        "accounts": list(json!({ "type": "string", "pattern": "^AC[0-9a-fA-F]{32}$" }), "accounts it is pinned to"),
        "policy": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "open": list(json!({ "type": "string" }), "credential operations opened to it"),
                "allow": list(json!({ "type": "string" }), "if not empty, only these operations"),
                "deny": list(json!({ "type": "string" }), "operations refused whatever `allow` says"),
            },
        },
        "key_permissions": list(json!({ "type": "string" }), "permissions of its keys, which makes them Restricted keys"),
        "grants": {
            "type": ["array", "null"],
            "items": { "type": "string" },
            "description": "grants that its Access Tokens may carry; null: all",
        },
        "rotate_every": { "type": ["string", "null"], "description": "such as 30d; null: as store.rotate_every says" },
    })
}

fn team() -> Value {
    let mut properties = json!({
        "name": text("its name"),
        "kind": { "type": "string", "enum": ["standard", "master"] },
        "disabled": { "type": "boolean" },
        "created_at": moment(),
    });
    extend(&mut properties, team_settings());
    let all =
        ["name", "kind", "accounts", "disabled", "policy", "key_permissions", "grants", "rotate_every", "created_at"];
    closed(properties, &all)
}

fn new_team() -> Value {
    let mut properties =
        json!({ "name": text("its name"), "kind": { "type": "string", "enum": ["standard", "master"] } });
    extend(&mut properties, team_settings());
    closed(properties, &["name"])
}

fn team_change() -> Value {
    let mut properties = json!({ "disabled": { "type": "boolean" } });
    extend(&mut properties, team_settings());
    closed(properties, &[])
}

fn token() -> Value {
    closed(
        json!({
            "id": text("names it; proves nothing"),
            "team": text("whose it is"),
            "name": nullable_text("what it is for"),
            "state": { "type": "string", "enum": ["active", "expired", "revoked"] },
            "created_at": moment(),
            "expires_at": nullable_moment(),
            "revoked_at": nullable_moment(),
        }),
        &["id", "team", "name", "state", "created_at", "expires_at", "revoked_at"],
    )
}

fn issued_token() -> Value {
    closed(
        json!({
            "id": text("names it; proves nothing"),
            "team": text("whose it is"),
            "name": nullable_text("what it is for"),
            "token": text("the token itself; it is not shown again"),
            "expires_at": nullable_moment(),
        }),
        &["id", "team", "name", "token", "expires_at"],
    )
}

fn key() -> Value {
    closed(
        json!({
            "sid": text("its SID"),
            "team": text("whose it is"),
            "state": { "type": "string", "enum": ["proving", "active", "rejected", "missing", "retiring", "revoking"] },
            "created_at": moment(),
            "kind": { "type": "string", "enum": ["standard", "restricted"] },
            "imported": { "type": "boolean" },
            "friendly_name": nullable_text("what it is called upstream"),
            "age_seconds": { "type": "integer" },
            "last_used_at": nullable_moment(),
        }),
        &["sid", "team", "state", "created_at", "kind", "imported", "friendly_name", "age_seconds", "last_used_at"],
    )
}

fn difference() -> Value {
    let loose = closed(
        json!({
            "sid": text("its SID"),
            "friendly_name": nullable_text("what it is called upstream"),
            "created_at": nullable_text("when it was made, as the upstream spells it"),
        }),
        &["sid", "friendly_name", "created_at"],
    );
    let missing = closed(json!({ "sid": text("its SID"), "team": text("who holds it") }), &["sid", "team"]);
    closed(
        json!({
            "orphans": list(loose.clone(), "made by sidekey, and no team holds them"),
            "strangers": list(loose, "not made by sidekey: never deleted"),
            "missing": list(missing, "held by a team, and not listed upstream"),
            "deleted": list(json!({ "type": "string" }), "orphans that were deleted just now"),
        }),
        &["orphans", "strangers", "missing", "deleted"],
    )
}

/// An object with these properties and no others.
fn closed(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "additionalProperties": false, "required": required });
    schema["properties"] = properties;
    schema
}

fn extend(properties: &mut Value, more: Value) {
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
        all.extend(more);
    }
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn nullable_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

fn duration(description: &str) -> Value {
    json!({ "type": "string", "description": format!("{description}; such as 10m, 2s or 90d") })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn nullable_moment() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn list(items: Value, description: &str) -> Value {
    let mut schema = json!({ "type": "array", "description": description });
    schema["items"] = items;
    schema
}
