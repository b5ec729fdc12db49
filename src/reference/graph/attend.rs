//! The steps of a pass that work with the cache.

use super::attention::{Rules, query_tokens};
use super::kv::{HeadDims, KvCache, KvWriter, N_CTX_PADDING};
use super::norm::{NORM_OPS, Norm};
use super::ops::{Ops, laps};
use super::project::Qkv;
use super::rope::{self, Pairing};
use super::session::Scratch;
use crate::reference::kernel::Kernels;
use crate::reference::profile::{By, Part, StepKind};
use crate::reference::tiles::Tiling;

/// Operations for each number that is turned: two products and a sum.
const ROPE_OPS: u64 = 3;

/// Positions that are worth a thread of their own when one token attends to them.
const MIN_PART: usize = 64;

/// How a layer turns queries and keys by their positions.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    /// `[n][n_rot]`
    pub angles: &'a [f32],
    pub pairing: Pairing,
    pub n_rot: usize,
    /// The first turned element of a head.
    pub first: usize,
}

impl Turn<'_> {
    fn turn(&self, t: usize, head: &mut [f32]) {
        let angles = &self.angles[t * self.n_rot..][..self.n_rot];
        rope::rotate(self.pairing, &mut head[self.first..][..self.n_rot], angles);
    }
}

/// Queries, keys and values of a micro-batch, and what becomes of them.
pub(super) struct Queries<'a> {
    /// Tokens.
    pub n: usize,
    pub n_head: usize,
    pub n_kv: usize,
    pub dims: HeadDims,
    pub heads: Qkv<'a>,
    pub q_norm: Option<&'a Norm>,
    pub k_norm: Option<&'a Norm>,
    /// None where the layer knows no positions, or knows them otherwise.
    pub turn: Option<Turn<'a>>,
    /// What queries are multiplied with before they are made to meet keys.
    pub query_scale: f32,
    /// What products of queries and keys are multiplied with.
    pub scale: f32,
    pub window: Option<usize>,
    pub cap: Option<f32>,
    /// `[n_head]`, or empty
    pub slopes: &'a [f32],
    /// Position of the first token.
    pub n_past: usize,
    pub flash: bool,
}

impl Queries<'_> {
    /// Heads that share keys and values.
    fn group(&self) -> usize {
        self.n_head / self.n_kv
    }

    /// What becomes of the scores of the group that shares head `head`.
    fn rules(&self, head: usize) -> Rules<'_> {
        let group = self.group();
        let slopes = self.slopes.get(head * group..(head + 1) * group).unwrap_or_default();
        Rules { scale: self.scale, window: self.window, cap: self.cap, slopes }
    }

    /// Norms and turns key `head` of every token and writes it with its value into the bytes of the
    /// head.
    fn store(
        &self,
        kernels: &dyn Kernels,
        kv: KvWriter,
        head: usize,
        bytes: &mut [u8],
        own: &mut Scratch,
    ) {
        let Scratch { row, laps, .. } = own;
        let Qkv { k, k_shared, v, .. } = &self.heads;
        let room = &mut row[..self.dims.k];
        laps.begin();
        for t in 0..self.n {
            let (plain, shared) = room.split_at_mut(k.width);
            match self.k_norm {
                None => plain.copy_from_slice(k.at(t, head)),
                Some(norm) => {
                    norm.apply(kernels, k.at(t, head), plain);
                    laps.lap(2);
                }
            }
            if let Some(rest) = k_shared {
                shared.copy_from_slice(rest.at(t, head));
            }
            if let Some(turn) = &self.turn {
                turn.turn(t, room);
                laps.lap(1);
            }
            kv.write(kernels, bytes, self.n_past + t, room, v.at(t, head));
            laps.lap(0);
        }
    }

    /// Turning and norming `n` numbers, as the parts of a step behind `first`.
    fn parts(
        &self,
        first: Part,
        n: usize,
        rope: &'static str,
        norm: Option<&'static str>,
    ) -> ([Part; 3], usize) {
        let is_turned = self.turn.is_some();
        let n_turned = self.turn.map_or(0, |turn| n / self.dims.k * turn.n_rot);
        let turn = Part::of_numbers(rope, StepKind::Rope, n_turned, ROPE_OPS);
        let normed = Part::of_numbers(norm.unwrap_or(""), StepKind::Norm, n, NORM_OPS);
        let n_parts = if norm.is_some() { 3 } else { 1 + usize::from(is_turned) };
        ([first, turn, normed], n_parts)
    }

    /// What writing into the cache is made of.
    fn store_parts(&self, cache_bytes: usize) -> ([Part; 3], usize) {
        let [k, v] = [self.dims.k, self.dims.v].map(|dim| self.n * self.n_kv * dim);
        let copy = Part {
            name: "attn_kv_store",
            kind: StepKind::Copy,
            ops: 0,
            bytes: (4 * (k + v) + cache_bytes) as u64,
            memory_bytes: cache_bytes as u64,
        };
        self.parts(copy, k, "rope_k", self.k_norm.map(|_| "attn_k_norm"))
    }

    /// What attention of the tokens from `first` on is made of.
    fn attend_parts(&self, first: usize, token_bytes: usize) -> ([Part; 3], usize) {
        let [k, v] = [self.dims.k, self.dims.v].map(|dim| (self.n - first) * self.n_head * dim);
        let (from, to) = (self.n_past + first, self.n_past + self.n);
        let rules = self.rules(0);
        let seen = rules.n_seen(from..to);
        let cache = token_bytes * (to - rules.first_seen(from));
        let attention = Part {
            name: "attn_scores",
            kind: StepKind::Attention,
            ops: 2 * (seen * self.n_head * (self.dims.k + self.dims.v)) as u64,
            bytes: (4 * (k + v) + cache) as u64,
            memory_bytes: cache as u64,
        };
        self.parts(attention, k, "rope_q", self.q_norm.map(|_| "attn_q_norm"))
    }

    /// Puts the queries of tokens `first..first + n` for head `head` of the cache into `scratch`.
    fn load(
        &self,
        kernels: &dyn Kernels,
        (first, n): (usize, usize),
        head: usize,
        scratch: &mut Scratch,
    ) {
        let (dim, group) = (self.dims.k, self.group());
        let Scratch { attention, laps, .. } = scratch;
        let query = |r: usize| self.heads.q.at(first + r / group, head * group + r % group);
        let rows = attention.q.chunks_exact_mut(dim).take(n * group);
        for (r, q) in rows.enumerate() {
            match self.q_norm {
                None => q.copy_from_slice(query(r)),
                Some(norm) => norm.apply(kernels, query(r), q),
            }
        }
        if self.q_norm.is_some() {
            laps.lap(2);
        }
        let rows = attention.q.chunks_exact_mut(dim).take(n * group);
        for (r, q) in rows.enumerate() {
            let t = first + r / group;
            if let Some(turn) = &self.turn {
                turn.turn(t, q);
            }
            if self.query_scale != 1.0 {
                q.iter_mut().for_each(|q| *q *= self.query_scale);
            }
            attention.last[r] = self.n_past + t;
        }
        if self.turn.is_some() {
            laps.lap(1);
        }
    }
}

impl Ops<'_> {
    /// Writes keys and values into the cache.
    pub fn store(&mut self, kv: &mut KvCache, layer: usize, queries: &Queries<'_>) {
        let (writer, size) = (kv.writer(), kv.head_bytes());
        let (parts, n_parts) = queries.store_parts(queries.n * kv.token_bytes(layer));
        let (kernels, heads) = (self.kernels, kv.layer_mut(layer));
        let begun = self.recorder.begin();
        if queries.n == 1 {
            for (head, bytes) in heads.chunks_exact_mut(size).enumerate() {
                queries.store(kernels, writer, head, bytes, &mut self.scratch[0]);
            }
            self.recorder.end(begun, By::Caller, &parts[..n_parts], laps(self.scratch));
            return;
        }
        let one = Tiling { row: size, rows: 1, columns: size };
        self.pool.for_tiles(heads, one, self.scratch, |tile, scratch| {
            queries.store(kernels, writer, tile.first_row, tile.row(0), scratch);
        });
        self.recorder.end(begun, By::All, &parts[..n_parts], laps(self.scratch));
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
        if queries.n - first == 1 {
            return self.attend_one(kv, layer, queries, first, out, partials);
        }
        let (dim, group) = (queries.dims.v, queries.group());
        let kernels = self.kernels;
        let begun = self.recorder.begin();
        let tiling =
            Tiling { row: queries.n_head * dim, rows: query_tokens(group), columns: group * dim };
        self.pool.for_tiles(out, tiling, self.scratch, |tile, scratch| {
            let (t, n) = (first + tile.first_row, tile.n_rows);
            let head = tile.first_column / (group * dim);
            scratch.laps.begin();
            queries.load(kernels, (t, n), head, scratch);
            let (rules, position) = (queries.rules(head), queries.n_past + t);
            let seen = whole_panels(rules.first_seen(position))..position + n;
            let (own, rows) = (&mut scratch.attention, n * group);
            own.attend(kernels, kv.head(layer, head), kv.types, rules, rows, seen);
            for i in 0..n {
                for (g, out) in tile.row(i).chunks_exact_mut(dim).enumerate() {
                    let (_, sum, o) = scratch.attention.partial(i * group + g);
                    out.iter_mut().zip(o).for_each(|(out, o)| *out = o / sum);
                }
            }
            scratch.laps.lap(0);
        });
        let (parts, n_parts) = queries.attend_parts(first, kv.token_bytes(layer));
        self.recorder.end(begun, By::All, &parts[..n_parts], laps(self.scratch));
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
        let (dim, group, threads) = (queries.dims.v, queries.group(), self.pool.n_threads());
        let position = queries.n_past + t;
        let start = whole_panels(queries.rules(0).first_seen(position));
        let n_seen = position + 1 - start;
        let even = queries.n_kv.is_multiple_of(threads) || !queries.flash;
        let parts = if even { 1 } else { threads.min(n_seen / MIN_PART).max(1) };
        let length = n_seen.div_ceil(parts).next_multiple_of(N_CTX_PADDING);
        let parts = n_seen.div_ceil(length);

        let (kernels, width) = (self.kernels, dim + 2);
        let row = queries.n_head * width;
        let partials = &mut partials[..parts * row];
        let tiling = Tiling { row, rows: 1, columns: group * width };
        let begun = self.recorder.begin();
        self.pool.for_tiles(partials, tiling, self.scratch, |tile, scratch| {
            let head = tile.first_column / (group * width);
            scratch.laps.begin();
            queries.load(kernels, (t, 1), head, scratch);
            let start = start + tile.first_row * length;
            let seen = start..(start + length).min(position + 1);
            let (own, rules) = (&mut scratch.attention, queries.rules(head));
            own.attend(kernels, kv.head(layer, head), kv.types, rules, group, seen);
            for (g, out) in tile.row(0).chunks_exact_mut(width).enumerate() {
                let (max, sum, o) = scratch.attention.partial(g);
                (out[0], out[1]) = (max, sum);
                out[2..].copy_from_slice(o);
            }
            scratch.laps.lap(0);
        });
        let (made, n_made) = queries.attend_parts(t, kv.token_bytes(layer));
        self.recorder.end(begun, By::All, &made[..n_made], laps(self.scratch));

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

/// The panel of the cache that position `position` lies in, by its first position.
fn whole_panels(position: usize) -> usize {
    position / N_CTX_PADDING * N_CTX_PADDING
}
