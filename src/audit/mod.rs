//! The audit trail: one guard per request, closed exactly once.
