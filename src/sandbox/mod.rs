//! A Twilio-compatible upstream in memory.
