//! What goes through a model on its way to the logits: rows of the last token, layer by layer.
//!
//! For holding this engine against another. Off unless asked for; then a pass copies three rows in
//! each layer. They are taken where another engine has the same numbers, whatever either of them fuses
//! in between, and are called as llama.cpp calls those tensors.

/// What attention comes to before its output matrix: `[n_head · value_dim]`.
pub(super) const ATTENTION: &str = "kqv_out";

/// The residual stream between attention and the feed-forward layer, where one follows the other:
/// `[n_embd]`.
pub(super) const BETWEEN: &str = "ffn_inp";

/// The residual stream behind a layer: `[n_embd]`.
pub(super) const LAYER: &str = "l_out";

/// A row that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What it is: `kqv_out`, `ffn_inp`, `l_out`.
    pub name: &'static str,
    /// Its layer.
    pub layer: u32,
    /// That of the last token.
    pub row: Vec<f32>,
}

/// Keeps the points of the last pass.
#[derive(Debug, Default)]
pub(super) struct Trace(Option<Vec<Point>>);

impl Trace {
    /// From now on keeps points, or no longer.
    pub fn switch(&mut self, on: bool) {
        self.0 = on.then(Vec::new);
    }

    /// A pass begins.
    pub fn begin(&mut self) {
        if let Some(points) = &mut self.0 {
            points.clear();
        }
    }

    /// Keeps the last row of `rows`, which are `width` long.
    pub fn keep(&mut self, name: &'static str, layer: usize, rows: &[f32], width: usize) {
        if let Some(points) = &mut self.0 {
            let row = rows[rows.len() - width..].to_vec();
            points.push(Point { name, layer: layer as u32, row });
        }
    }

    /// Those of the last pass.
    pub fn points(&self) -> &[Point] {
        self.0.as_deref().unwrap_or_default()
    }
}
