//! Session settings: SET, SHOW and RESET.

/// The settings of one session.
pub struct Settings {}

impl Settings {
    /// A boolean setting's value.
    pub fn bool(&self, _name: &str) -> bool {
        false
    }
}
