//! What goes through a model on its way to the logits: what a session can be asked for where two
//! engines do not agree, so that the place where they part has a name.
//!
//! For the differential tests, never for a figure: whoever keeps rows does more than to run a model.

use std::path::Path;

use super::{Engine, EngineError, Session};
use crate::settings::Settings;

/// A row of the graph: that of the last token.
#[derive(Clone, Debug, PartialEq)]
pub struct Waypoint {
    /// The tensor, as llama.cpp calls it, behind it its layer, the first being 0: `l_out-3` is the
    /// residual stream behind layer 3, `ffn_inp-3` the same between attention and the feed-forward
    /// layer, `kqv_out-3` what attention comes to before its output matrix.
    pub name: String,
    /// Its numbers.
    pub row: Vec<f32>,
}

/// A session that can tell what went through it.
pub trait TracedSession: Session {
    /// What went through the layers when the last token ran, in the order of the graph: of every layer
    /// at least `l_out`.
    fn waypoints(&mut self) -> Vec<Waypoint>;
}

/// The answer of an engine that cannot tell.
pub(super) fn no_trace(
    engine: &(impl Engine + ?Sized),
    _: &Path,
    _: &Settings,
) -> Result<Box<dyn TracedSession>, EngineError> {
    let name = engine.info().name;
    Err(EngineError::Unsupported(format!("the engine {name} does not tell what goes through it")))
}
