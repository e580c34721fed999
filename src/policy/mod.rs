//! Caller + operation → grant or a reason; pure, never awaits.
