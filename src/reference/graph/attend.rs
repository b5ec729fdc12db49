//! The steps of a pass that work with the cache.

use super::attention::query_tokens;
use super::kv::{KvCache, round_query};
use super::ops::{Ops, laps};
use super::rope::{self, Pairing};
use super::session::Scratch;
use crate::ggml::GgmlType;
use crate::reference::kernel::Kernels;
use crate::reference::profile::{By, Part, StepKind};
use crate::reference::tiles::Tiling;

/// Operations for each number that is turned: two products and a sum.
const ROPE_OPS: u64 = 3;

/// Positions that are worth a thread of their own when one token attends to them.
const MIN_PART: usize = 64;

/// Queries, keys and values of a micro-batch, and how to read them.
pub(super) struct Queries<'a> {
    /// `[n][(n_head + 2 · n_kv) · head_dim]`
    pub qkv: &'a [f32],
    /// `[n][head_dim]`
    pub angles: &'a [f32],
    pub pairing: Pairing,
    pub n_head: usize,
    pub n_kv: usize,
    pub head_dim: usize,
    /// Position of the first token.
    pub n_past: usize,
    pub flash: bool,
}

impl Queries<'_> {
    /// Heads that share keys and values.
    fn group(&self) -> usize {
        self.n_head / self.n_kv
    }

    fn n(&self) -> usize {
        self.qkv.len() / ((self.n_head + 2 * self.n_kv) * self.head_dim)
    }

    /// Row `head` of token `t`, counting queries, then keys, then values.
    fn row(&self, t: usize, head: usize) -> &[f32] {
        let at = t * (self.n_head + 2 * self.n_kv) + head;
        &self.qkv[at * self.head_dim..][..self.head_dim]
    }

    fn turn(&self, t: usize, head: usize, out: &mut [f32]) {
        let angles = &self.angles[t * self.head_dim..][..self.head_dim];
        rope::rotate(self.pairing, self.row(t, head), angles, out);
    }

    /// Turns key `head` of every token and writes it with its value into the bytes of the head.
    fn store(&self, kv: super::kv::KvWriter, head: usize, bytes: &mut [u8], own: &mut Scratch) {
        let Scratch { row, laps, .. } = own;
        let room = &mut row[..self.head_dim];
        laps.begin();
        for t in 0..self.n() {
            self.turn(t, self.n_head + head, room);
            laps.lap(1);
            let v = self.row(t, self.n_head + self.n_kv + head);
            kv.write(bytes, self.n_past + t, room, v);
            laps.lap(0);
        }
    }

    /// What writing into the cache is made of.
    fn store_parts(&self, cache_bytes: usize) -> [Part; 2] {
        let n = self.n() * self.n_kv * self.head_dim;
        let copy = Part {
            name: "attn_kv_store",
            kind: StepKind::Copy,
            ops: 0,
            bytes: (8 * n + cache_bytes) as u64,
            memory_bytes: cache_bytes as u64,
        };
        [copy, Part::of_numbers("rope_k", StepKind::Rope, n, ROPE_OPS)]
    }

    /// What attention of the tokens from `first` on is made of.
    fn attend_parts(&self, first: usize, token_bytes: usize) -> [Part; 2] {
        let n = self.n() - first;
        let queries = n * self.n_head * self.head_dim;
        // Each token sees those before it and itself.
        let seen = n * (self.n_past + first) + n * (n + 1) / 2;
        let cache = token_bytes * (self.n_past + first + n);
        let attention = Part {
            name: "attn_scores",
            kind: StepKind::Attention,
            ops: 4 * (seen * self.n_head * self.head_dim) as u64,
            bytes: (8 * queries + cache) as u64,
            memory_bytes: cache as u64,
        };
        [attention, Part::of_numbers("rope_q", StepKind::Rope, queries, ROPE_OPS)]
    }

    /// Puts the queries of tokens `first..first + n` for head `head` of the cache into `scratch`.
    ///
    /// They are rounded to the type of the keys before they are scaled, as llama.cpp does.
    fn load(
        &self,
        kernels: &dyn Kernels,
        type_k: GgmlType,
        (first, n): (usize, usize),
        head: usize,
        scratch: &mut Scratch,
    ) {
        let (dim, group) = (self.head_dim, self.group());
        let scale = 1.0 / (dim as f32).sqrt();
        let room = &mut scratch.row[..dim];
        for r in 0..n * group {
            let (t, q) = (first + r / group, &mut scratch.attention.q[r * dim..][..dim]);
            self.turn(t, head * group + r % group, room);
            round_query(kernels, type_k, room, q);
            q.iter_mut().for_each(|q| *q *= scale);
            scratch.attention.last[r] = self.n_past + t;
        }
    }
}

impl Ops<'_> {
    /// Writes keys and values into the cache.
    pub fn store(&mut self, kv: &mut KvCache, layer: usize, queries: &Queries<'_>) {
        let (writer, size) = (kv.writer(), kv.head_bytes());
        let parts = queries.store_parts(queries.n() * kv.token_bytes());
        let heads = kv.layer_mut(layer);
        let begun = self.recorder.begin();
        if queries.n() == 1 {
            for (head, bytes) in heads.chunks_exact_mut(size).enumerate() {
                queries.store(writer, head, bytes, &mut self.scratch[0]);
            }
            self.recorder.end(begun, By::Caller, &parts, laps(self.scratch));
            return;
        }
        let one = Tiling { row: size, rows: 1, columns: size };
        self.pool.for_tiles(heads, one, self.scratch, |tile, scratch| {
            queries.store(writer, tile.first_row, tile.row(0), scratch);
        });
        self.recorder.end(begun, By::All, &parts, laps(self.scratch));
    }

    /// Attention of the tokens from `first` on to all before them and to themselves.
    pub fn attend(
        &mut self,
        kv: &KvCache,
        layer: usize,
        queries: &Queries<'_>,
        first: usize,
        out: &mut [f32],
        partials: &mut [f32],
    ) {
        if queries.n() - first == 1 {
            return self.attend_one(kv, layer, queries, first, out, partials);
        }
        let (dim, group) = (queries.head_dim, queries.group());
        let kernels = self.kernels;
        let begun = self.recorder.begin();
        let tiling =
            Tiling { row: queries.n_head * dim, rows: query_tokens(group), columns: group * dim };
        self.pool.for_tiles(out, tiling, self.scratch, |tile, scratch| {
            let (t, n) = (first + tile.first_row, tile.n_rows);
            let head = tile.first_column / (group * dim);
            scratch.laps.begin();
            queries.load(kernels, kv.types.k, (t, n), head, scratch);
            scratch.laps.lap(1);
            let seen = 0..queries.n_past + t + n;
            scratch.attention.attend(kernels, kv.head(layer, head), kv.types, n * group, seen);
            for i in 0..n {
                for (g, out) in tile.row(i).chunks_exact_mut(dim).enumerate() {
                    let (_, sum, o) = scratch.attention.partial(i * group + g);
                    out.iter_mut().zip(o).for_each(|(out, o)| *out = o / sum);
                }
            }
            scratch.laps.lap(0);
        });
        let parts = queries.attend_parts(first, kv.token_bytes());
        self.recorder.end(begun, By::All, &parts, laps(self.scratch));
    }

    /// Attention of one token: where heads do not go evenly into threads the positions are shared
    /// out too, and the parts put together afterwards.
    fn attend_one(
        &mut self,
        kv: &KvCache,
        layer: usize,
        queries: &Queries<'_>,
        t: usize,
        out: &mut [f32],
        partials: &mut [f32],
    ) {
        let (dim, group, threads) = (queries.head_dim, queries.group(), self.pool.n_threads());
        let n_seen = queries.n_past + t + 1;
        let even = queries.n_kv.is_multiple_of(threads) || !queries.flash;
        let parts = if even { 1 } else { threads.min(n_seen / MIN_PART).max(1) };
        let length = n_seen.div_ceil(parts).next_multiple_of(16);
        let parts = n_seen.div_ceil(length);

        let (kernels, width) = (self.kernels, dim + 2);
        let row = queries.n_head * width;
        let partials = &mut partials[..parts * row];
        let tiling = Tiling { row, rows: 1, columns: group * width };
        let begun = self.recorder.begin();
        self.pool.for_tiles(partials, tiling, self.scratch, |tile, scratch| {
            let head = tile.first_column / (group * width);
            scratch.laps.begin();
            queries.load(kernels, kv.types.k, (t, 1), head, scratch);
            scratch.laps.lap(1);
            let start = tile.first_row * length;
            let seen = start..(start + length).min(n_seen);
            scratch.attention.attend(kernels, kv.head(layer, head), kv.types, group, seen);
            for (g, out) in tile.row(0).chunks_exact_mut(width).enumerate() {
                let (max, sum, o) = scratch.attention.partial(g);
                (out[0], out[1]) = (max, sum);
                out[2..].copy_from_slice(o);
            }
            scratch.laps.lap(0);
        });
        let made = queries.attend_parts(t, kv.token_bytes());
        self.recorder.end(begun, By::All, &made, laps(self.scratch));

        for (head, out) in out.chunks_exact_mut(dim).enumerate() {
            let part = |p: usize| &partials[p * row + head * width..][..width];
            let max = (0..parts).fold(f32::NEG_INFINITY, |m, p| m.max(part(p)[0]));
            let sum: f32 = (0..parts).map(|p| part(p)[1] * (part(p)[0] - max).exp()).sum();
            out.fill(0.0);
            for part in (0..parts).map(part) {
                let weight = (part[0] - max).exp() / sum;
                out.iter_mut().zip(&part[2..]).for_each(|(out, o)| *out += weight * o);
            }
        }
    }
}
