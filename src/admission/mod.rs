//! Slots, buckets and ceilings.
