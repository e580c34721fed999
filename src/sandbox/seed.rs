//! What a fresh account has: phone numbers, among them the sender of Twilio's own samples.

use super::resource::{Cell, Row};
use super::resources::NUMBERS;
use super::sid::Sid;
use super::state::{ShelfId, State};
use crate::ids::AccountSid;

/// The first is the sender in Twilio's samples; the others are of the ranges for fiction.
const SEEDED: [&str; 3] = ["+15017122661", "+14155550100", "+18005550100"];

/// Gives the account its numbers.
pub fn numbers(state: &mut State, account: AccountSid, now: i64) {
    let Some(account) = Sid::parse(account.as_str(), AccountSid::PREFIX) else { return };
    let shelf = ShelfId { resource: NUMBERS.id, account, parent: None };
    for number in SEEDED {
        let mut cells = NUMBERS.blank();
        for (field, text) in [("friendly_name", number), ("phone_number", number)] {
            if let Some(slot) = NUMBERS.slot(field) {
                cells[slot] = Cell::text(text);
            }
        }
        if let Some(slot) = NUMBERS.slot("type").filter(|_| number.starts_with("+1800")) {
            cells[slot] = Cell::text("toll-free");
        }
        let row = Row { sid: Sid::fresh("PN"), created: now, updated: now, cells };
        let place = state.next_place();
        state.shelf_mut(shelf).insert(place, row.sid, row);
    }
}
