//! A channel with the means to read it.

use super::{Channel, Missing};

/// Reads one number again and again. Files are kept open.
pub trait Reader: Send {
    /// The value in the unit of the channel's kind, or why there is none this time.
    ///
    /// # Errors
    /// A reason in words; the next reading may succeed.
    fn read(&mut self) -> Result<f64, String>;
}

/// A channel that can be read.
pub struct Source {
    /// What it is.
    pub channel: Channel,
    /// How it is read.
    pub reader: Box<dyn Reader>,
}

/// Every channel of a machine.
#[derive(Default)]
pub struct Discovered {
    /// Those that can be read, in the order in which they are shown.
    pub sources: Vec<Source>,
    /// Those that are there and cannot be read, and those that a machine of this kind would have.
    pub missing: Vec<Missing>,
}
