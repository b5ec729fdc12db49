//! Attention of a group of query heads that share keys and values.
//!
//! Rows of queries (tokens × heads of the group) meet the keys of a head block by block. With
//! blocks of [`KV_BLOCK`] positions and a running softmax (Dao and others, FlashAttention, 2022)
//! the scores never leave the cache of a core; with one block over the whole context the full
//! rows of scores are made first, as the textbook has it. Both are the same code.

use std::ops::Range;

use super::kv::{
    HeadDims, KvHead, KvTypes, STRIP, Strip, is_quantised, padded_dim, turn_back, turn_query,
};
use crate::ggml::GgmlType;
use crate::reference::ReferenceError;
use crate::reference::arena::zeros;
use crate::reference::kernel::{Acts, FloatPanel, Form, Kernels, Rows, RowsMut, matmul_panel};
use crate::reference::quant::Block;
use crate::reference::quant::panel::{self, FLOAT_ROWS, QUANT_ROWS};

/// Positions whose scores are held at a time.
pub const KV_BLOCK: usize = 128;

/// Rows of queries that go together: they share each load of keys and values.
const QUERY_ROWS: usize = 48;

/// Bytes of a number in the panels that are made of quantised values.
const SIZE: usize = size_of::<f32>();

/// What attention of one group at a time needs, per thread.
#[derive(Debug)]
pub struct AttentionScratch {
    dims: HeadDims,
    /// Positions in a row of scores.
    block: usize,
    /// `[rows][head_dim]` queries, turned by their positions; scaled in [`AttentionScratch::attend`].
    pub q: Vec<f32>,
    /// Queries as quantised keys want them.
    acts: Acts,
    /// `[head_dim]` a query before it is rounded.
    row: Vec<f32>,
    /// `[rows][8]` products with a panel of quantised keys.
    products: Vec<f32>,
    /// `[rows]` the last position that a row may see.
    pub last: Vec<usize>,
    /// `[rows][block]` scores.
    s: Vec<f32>,
    /// `[rows]` largest score so far.
    max: Vec<f32>,
    /// `[rows]` sum of the exponentials so far.
    sum: Vec<f32>,
    /// `[rows][value_dim padded]` values, weighted.
    o: Vec<f32>,
}

/// Tokens whose queries go together when `group` heads share keys and values.
pub fn query_tokens(group: usize) -> usize {
    (QUERY_ROWS / group).max(1)
}

/// What becomes of scores before they are weights. Row `r` is a query of head `r % slopes.len()` of
/// the group.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What products of queries and keys are multiplied with.
    pub scale: f32,
    /// Positions that a query sees, its own among them; of all before it where there is no window.
    pub window: Option<usize>,
    /// Scores are held below this, softly.
    pub cap: Option<f32>,
    /// What a score loses for each position between query and key; empty where nothing.
    pub slopes: &'a [f32],
}

impl Rules<'_> {
    /// The first position that a query at `position` sees.
    pub fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Positions that the queries at `positions` see, all together.
    pub fn n_seen(&self, positions: Range<usize>) -> usize {
        positions.map(|position| position + 1 - self.first_seen(position)).sum()
    }
}

impl AttentionScratch {
    /// Room for `rows` queries, with `block` positions of scores.
    pub fn new(
        rows: usize,
        dims: HeadDims,
        type_k: GgmlType,
        block: usize,
    ) -> Result<AttentionScratch, ReferenceError> {
        let floats = |n| zeros(n, "scores of attention");
        let (forms, products) = of_keys(type_k);
        Ok(AttentionScratch {
            dims,
            block,
            q: floats(rows * dims.k)?,
            acts: Acts::new(rows, dims.k, &forms)?,
            row: floats(dims.k)?,
            products: floats(rows * products)?,
            last: zeros(rows, "scores of attention")?,
            s: floats(rows * block)?,
            max: floats(rows)?,
            sum: floats(rows)?,
            o: floats(rows * padded_dim(dims.v))?,
        })
    }

    /// Bytes that [`AttentionScratch::new`] takes.
    pub fn bytes_for(rows: usize, dims: HeadDims, type_k: GgmlType, block: usize) -> usize {
        let (forms, products) = of_keys(type_k);
        let floats = dims.k.saturating_add(block).saturating_add(2 + products + padded_dim(dims.v));
        rows.saturating_mul(floats.saturating_mul(4).saturating_add(size_of::<usize>()))
            .saturating_add(4 * dims.k + Acts::bytes_for(rows, dims.k, &forms))
    }

    /// Bytes taken.
    pub fn bytes(&self) -> usize {
        let AttentionScratch { q, row, products, s, max, sum, o, .. } = self;
        let floats: usize = [q, row, products, s, max, sum, o].iter().map(|v| v.len()).sum();
        4 * floats + self.acts.bytes() + size_of::<usize>() * self.last.len()
    }

    /// Attends from the first `m` rows of `q` to the positions `range` (from a multiple of 16 on),
    /// each row no further than `last` and as `rules` say. Scales the queries.
    pub fn attend(
        &mut self,
        kernels: &dyn Kernels,
        kv: KvHead<'_>,
        types: KvTypes,
        rules: Rules<'_>,
        m: usize,
        range: Range<usize>,
    ) {
        let width = padded_dim(self.dims.v);
        self.make_ready(kernels, types.k, rules.scale, m);
        self.max[..m].fill(f32::NEG_INFINITY);
        self.sum[..m].fill(0.0);
        self.o[..m * width].fill(0.0);
        for start in range.clone().step_by(self.block) {
            let here = (start, self.block.min(range.end - start));
            self.scores(kernels, kv.k, types, rules.scale, m, here);
            self.softmax(kernels, rules, m, here);
            self.values(kernels, kv.v, types, m, here);
        }
        if is_quantised(types.v) {
            self.o[..m * width].chunks_exact_mut(width).for_each(turn_back);
        }
    }

    /// Row `r` after [`Self::attend`]: largest score, sum of exponentials, weighted values.
    pub fn partial(&self, r: usize) -> (f32, f32, &[f32]) {
        let width = padded_dim(self.dims.v);
        (self.max[r], self.sum[r], &self.o[r * width..][..self.dims.v])
    }

    /// Makes of queries what meets keys of type `ty`, as llama.cpp does: rounded to the same half
    /// precision before they are scaled, or, for quantised keys, turned as these and rounded to blocks
    /// of signed bytes; then it is the products that are scaled.
    fn make_ready(&mut self, kernels: &dyn Kernels, ty: GgmlType, scale: f32, m: usize) {
        let AttentionScratch { q, row, acts, dims, .. } = self;
        if is_quantised(ty) {
            acts.reset(Form::of(ty), dims.k);
        }
        for (r, q) in q.chunks_exact_mut(dims.k).take(m).enumerate() {
            match ty {
                GgmlType::F32 => {}
                GgmlType::F16 | GgmlType::BF16 => {
                    row.copy_from_slice(q);
                    kernels.round_to(ty, row, q);
                }
                _ => {
                    turn_query(q);
                    acts.set(kernels, r, q);
                    continue;
                }
            }
            q.iter_mut().for_each(|q| *q *= scale);
        }
    }

    /// `s = scale · q · k`.
    fn scores(
        &mut self,
        kernels: &dyn Kernels,
        k: &[u8],
        types: KvTypes,
        scale: f32,
        m: usize,
        (start, n): (usize, usize),
    ) {
        if is_quantised(types.k) {
            let size = panel::bytes(types.k, self.dims.k);
            let panels = k[start / QUANT_ROWS * size..].chunks_exact(size);
            for (j, panel) in panels.take(n.div_ceil(QUANT_ROWS)).enumerate() {
                let products = &mut self.products[..m * QUANT_ROWS];
                matmul_panel(kernels, types.k, panel, &self.acts, m, products);
                for (r, products) in products.as_chunks::<QUANT_ROWS>().0.iter().enumerate() {
                    let s = &mut self.s[r * self.block + j * QUANT_ROWS..][..QUANT_ROWS];
                    s.iter_mut().zip(products).for_each(|(s, product)| *s = scale * product);
                }
            }
            return;
        }
        let size = self.dims.k * FLOAT_ROWS * types.k.block_bytes() as usize;
        for (j, p) in (start / FLOAT_ROWS..(start + n).div_ceil(FLOAT_ROWS)).enumerate() {
            kernels.float_panel(
                FloatPanel { ty: types.k, bytes: &k[p * size..][..size], k: self.dims.k },
                Rows { data: &self.q, stride: self.dims.k, m },
                RowsMut { data: &mut self.s[j * FLOAT_ROWS..], stride: self.block },
                false,
            );
        }
    }

    /// Scores to weights that are not yet divided by their sum.
    fn softmax(
        &mut self,
        kernels: &dyn Kernels,
        rules: Rules<'_>,
        m: usize,
        (start, n): (usize, usize),
    ) {
        let width = padded_dim(self.dims.v);
        for r in 0..m {
            let last = self.last[r];
            let end = (last + 1).saturating_sub(start).min(n);
            let first = rules.first_seen(last).saturating_sub(start).min(end);
            let row = &mut self.s[r * self.block..][..n];
            row[..first].fill(0.0);
            row[end..].fill(0.0);
            let seen = &mut row[first..end];
            if seen.is_empty() {
                continue;
            }
            if let Some(cap) = rules.cap {
                kernels.soft_cap(seen, cap);
            }
            if !rules.slopes.is_empty() {
                let slope = rules.slopes[r % rules.slopes.len()];
                let furthest = (last - start - first) as f32;
                for (i, s) in seen.iter_mut().enumerate() {
                    *s -= slope * (furthest - i as i32 as f32);
                }
            }
            let (max, sum) = kernels.softmax_step(seen, self.max[r]);
            if max != self.max[r] {
                let shrink = (self.max[r] - max).exp();
                self.sum[r] *= shrink;
                self.o[r * width..][..width].iter_mut().for_each(|o| *o *= shrink);
                self.max[r] = max;
            }
            self.sum[r] += sum;
        }
    }

    /// `o += s · v`.
    fn values(
        &mut self,
        kernels: &dyn Kernels,
        v: &[u8],
        types: KvTypes,
        m: usize,
        (start, n): (usize, usize),
    ) {
        if is_quantised(types.v) {
            return self.quantised_values(kernels, v, types.v, m, (start, n));
        }
        let width = padded_dim(self.dims.v);
        let size = FLOAT_ROWS * types.v.block_bytes() as usize;
        let n_ctx = v.len() / (width / FLOAT_ROWS * size);
        for c in 0..width / FLOAT_ROWS {
            kernels.float_panel(
                FloatPanel {
                    ty: types.v,
                    bytes: &v[(c * n_ctx + start) * size..][..n * size],
                    k: n,
                },
                Rows { data: &self.s, stride: self.block, m },
                RowsMut { data: &mut self.o[c * FLOAT_ROWS..], stride: width },
                true,
            );
        }
    }

    /// The same with values that are quantised.
    fn quantised_values(
        &mut self,
        kernels: &dyn Kernels,
        v: &[u8],
        ty: GgmlType,
        m: usize,
        (start, n): (usize, usize),
    ) {
        let width = padded_dim(self.dims.v);
        let mut strip = Strip::new();
        for j in (0..n).step_by(STRIP) {
            let here = (start + j, STRIP.min(n - j));
            for b in 0..self.dims.v / Block::LEN {
                let numbers = strip.of_values(kernels, ty, v, self.dims.v, here, b);
                let panels = numbers.chunks_exact(here.1 * FLOAT_ROWS * SIZE);
                for (p, panel) in panels.take(Block::LEN / FLOAT_ROWS).enumerate() {
                    kernels.float_panel(
                        FloatPanel { ty: GgmlType::F32, bytes: panel, k: here.1 },
                        Rows { data: &self.s[j..], stride: self.block, m },
                        RowsMut {
                            data: &mut self.o[b * Block::LEN + p * FLOAT_ROWS..],
                            stride: width,
                        },
                        true,
                    );
                }
            }
        }
    }
}

/// What products with keys of type `ty` take: forms of queries, and numbers for each of them.
fn of_keys(ty: GgmlType) -> (Vec<Form>, usize) {
    if is_quantised(ty) { (vec![Form::of(ty)], QUANT_ROWS) } else { (Vec::new(), 0) }
}
