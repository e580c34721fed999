//! What is known of the Twilio API.
