//! Activations in the form that a weight type wants them in.
//!
//! Integer kernels multiply integers with integers, so activations are quantised first; half
//! precision weights meet activations rounded to the same precision. Both are what llama.cpp
//! does, so that logits agree.

use super::Kernels;
use crate::ggml::GgmlType;
use crate::reference::ReferenceError;
use crate::reference::arena::zeros;

/// Tokens that are prepared and multiplied together: their activations stay in the cache of a
/// core while all panels of a matrix pass by.
pub const TOKEN_BLOCK: usize = 32;

/// What the memory is for, in errors.
const WHAT: &str = "activations as matrices want them";

/// What activations are turned into before they meet weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are, for `F32`.
    F32,
    /// Rounded to half precision, for `F16`.
    F16,
    /// Rounded to bfloat16, for `BF16`.
    BF16,
    /// Blocks of 32 signed bytes, for `Q5_0`, `Q4_0` and `IQ4_NL`.
    Q8,
    /// Blocks of 32 signed bytes with the sum of what they stand for, for `Q5_1` and `Q4_1`.
    Q8Sum,
    /// The same numbers in 16 bits, for `Q8_0`.
    Q8Wide,
    /// Blocks of 256 signed bytes, for `Q2_K` to `Q6_K` and `IQ4_XS`.
    Q8K,
}

impl Form {
    /// The form for weights of type `ty`.
    ///
    /// # Panics
    /// When the engine does not compute with the type.
    pub fn of(ty: GgmlType) -> Form {
        match ty {
            GgmlType::F32 => Form::F32,
            GgmlType::F16 => Form::F16,
            GgmlType::BF16 => Form::BF16,
            GgmlType::Q8_0 => Form::Q8Wide,
            GgmlType::Q5_0 | GgmlType::Q4_0 | GgmlType::IQ4_NL => Form::Q8,
            GgmlType::Q5_1 | GgmlType::Q4_1 => Form::Q8Sum,
            _ if ty.block_size() == 256 => Form::Q8K,
            _ => panic!("no kernel for {ty}"),
        }
    }
}

/// Activations of one length in one form, as many as there was made room for.
#[derive(Debug)]
pub struct Acts {
    form: Form,
    k: usize,
    /// `[tokens][k]`, forms of unquantised numbers.
    floats: Vec<f32>,
    /// `[tokens][k]`, `Q8`, `Q8Sum` and `Q8K`.
    q8: Vec<i8>,
    /// `[tokens][k]`, `Q8Wide`.
    q16: Vec<i16>,
    /// `[tokens][k / block]` scales.
    d: Vec<f32>,
    /// `Q8`: `[tokens][k / 32]`, 8 · Σ q of the block. `Q8K`: `[tokens][k / 32]`, two sums of 16
    /// in the low and the high half.
    sums: Vec<i32>,
    /// `[tokens][k / 32]`, `Q8Sum`: d · Σ q of the block.
    s: Vec<f32>,
}

/// Forms whose numbers are signed bytes.
const BYTES: &[Form] = &[Form::Q8, Form::Q8Sum, Form::Q8K];
/// Forms with a scale per block.
const SCALED: &[Form] = &[Form::Q8, Form::Q8Sum, Form::Q8Wide, Form::Q8K];
/// Forms of unquantised numbers.
const FLOATS: &[Form] = &[Form::F32, Form::F16, Form::BF16];

impl Acts {
    /// Room for `n` activations of up to `max_k` elements in any of `forms`.
    pub fn new(n: usize, max_k: usize, forms: &[Form]) -> Result<Acts, ReferenceError> {
        let any = |wanted: &[Form]| forms.iter().any(|f| wanted.contains(f));
        let room = |wanted: &[Form], of: usize| if any(wanted) { n * of } else { 0 };
        let n_blocks = max_k.div_ceil(32);
        Ok(Acts {
            form: Form::F32,
            k: 0,
            floats: zeros(room(FLOATS, max_k), WHAT)?,
            q8: zeros(room(BYTES, max_k), WHAT)?,
            q16: zeros(room(&[Form::Q8Wide], max_k), WHAT)?,
            d: zeros(room(SCALED, n_blocks), WHAT)?,
            sums: zeros(room(&[Form::Q8, Form::Q8K], n_blocks), WHAT)?,
            s: zeros(room(&[Form::Q8Sum], n_blocks), WHAT)?,
        })
    }

    /// Bytes that [`Acts::new`] takes.
    pub fn bytes_for(n: usize, max_k: usize, forms: &[Form]) -> usize {
        let any = |wanted: &[Form]| forms.iter().any(|f| wanted.contains(f));
        let room = |wanted: &[Form], of: usize| if any(wanted) { n * of } else { 0 };
        let n_blocks = max_k.div_ceil(32);
        4 * room(FLOATS, max_k)
            + room(BYTES, max_k)
            + 2 * room(&[Form::Q8Wide], max_k)
            + 4 * room(SCALED, n_blocks)
            + 4 * room(&[Form::Q8, Form::Q8K], n_blocks)
            + 4 * room(&[Form::Q8Sum], n_blocks)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> usize {
        4 * (self.floats.len() + self.d.len() + self.sums.len() + self.s.len())
            + self.q8.len()
            + 2 * self.q16.len()
    }

    /// Sets length and form of what follows.
    pub fn reset(&mut self, form: Form, k: usize) {
        (self.form, self.k) = (form, k);
    }

    /// Makes `x` the activation number `t`.
    pub fn set(&mut self, kernels: &dyn Kernels, t: usize, x: &[f32]) {
        let k = self.k;
        assert_eq!(x.len(), k, "length of an activation");
        let all = t * k..(t + 1) * k;
        let blocks = t * (k / 32)..(t + 1) * (k / 32);
        match self.form {
            Form::F32 => self.floats[all].copy_from_slice(x),
            Form::F16 => kernels.round_to(GgmlType::F16, x, &mut self.floats[all]),
            Form::BF16 => kernels.round_to(GgmlType::BF16, x, &mut self.floats[all]),
            Form::Q8 => kernels.quantize_q8(
                x,
                &mut self.q8[all],
                &mut self.d[blocks.clone()],
                &mut self.sums[blocks],
            ),
            Form::Q8Sum => kernels.quantize_q8_sum(
                x,
                &mut self.q8[all],
                &mut self.d[blocks.clone()],
                &mut self.s[blocks],
            ),
            Form::Q8Wide => {
                kernels.quantize_q8_wide(x, &mut self.q16[all], &mut self.d[blocks]);
            }
            Form::Q8K => {
                let d = t * (k / 256)..(t + 1) * (k / 256);
                let (q8, sums) = (&mut self.q8[all], &mut self.sums[blocks]);
                kernels.quantize_q8_k(x, q8, &mut self.d[d], sums);
            }
        }
    }

    /// The form of the activations held.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Length of each activation.
    pub fn k(&self) -> usize {
        self.k
    }

    /// `[n][k]` numbers of an unquantised form.
    pub fn floats(&self) -> &[f32] {
        &self.floats
    }

    /// The parts that an integer kernel reads, each with its length checked for `n` activations
    /// of `form`.
    pub(super) fn quantised(&self, form: Form, n: usize) -> QuantisedActs<'_> {
        assert_eq!(self.form, form, "form of activations");
        let k = self.k;
        // Kernels trust these lengths: a product that wrapped around would pass every check.
        let all = n.checked_mul(k).expect("activations that fit into memory");
        let (block, q8, q16, sums, s) = match form {
            Form::Q8 => (32, all, 0, all / 32, 0),
            Form::Q8Sum => (32, all, 0, 0, all / 32),
            Form::Q8Wide => (32, 0, all, 0, 0),
            Form::Q8K => (256, all, 0, all / 32, 0),
            _ => panic!("{form:?} is not quantised"),
        };
        assert!(k.is_multiple_of(block), "{k} elements in blocks of {block}");
        QuantisedActs {
            k,
            q8: &self.q8[..q8],
            q16: &self.q16[..q16],
            d: &self.d[..all / block],
            sums: &self.sums[..sums],
            s: &self.s[..s],
        }
    }
}

/// What [`Acts`] hold, cut to the activations in use.
#[derive(Clone, Copy)]
pub(super) struct QuantisedActs<'a> {
    pub k: usize,
    pub q8: &'a [i8],
    pub q16: &'a [i16],
    pub d: &'a [f32],
    pub sums: &'a [i32],
    pub s: &'a [f32],
}
