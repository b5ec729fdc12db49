//! Rows of every type of weights: any bytes are read, packed and multiplied with, and are told to be
//! numbers exactly where they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slmbench::reference::kernel::{self, Acts, Form, matmul_panel};
use slmbench::reference::quant::{self, WEIGHT_TYPES, panel};

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let ty = WEIGHT_TYPES[usize::from(first) % WEIGHT_TYPES.len()];
    let (block, size) = (ty.block_size() as usize, ty.block_bytes() as usize);
    let data = &data[..data.len() / size * size];
    let k = data.len() / size * block;
    let mut values = vec![0f32; k];
    quant::dequantize_row(ty, data, &mut values);
    let found = quant::first_not_finite(ty, data);
    let wrong = values.iter().position(|v| !v.is_finite());
    assert_eq!(found.map(|f| f.byte / size), wrong.map(|i| i / block), "{ty}: {found:?}");
    if k == 0 {
        return;
    }

    let mut packed = vec![0xaa; panel::bytes(ty, k)];
    panel::pack(ty, k, data, &mut packed);
    let mut back = vec![0x55; data.len()];
    panel::unpack_row(ty, k, &packed, 0, &mut back);
    assert!(back == data, "{ty}");

    // Inputs of the same numbers, the other way round; so large that the sum of a block, which is an F16
    // as in llama.cpp, is a number.
    let x: Vec<f32> = values.iter().rev().map(|v| v.clamp(-2e3, 2e3)).collect();
    let form = Form::of(ty);
    for kernels in kernel::available() {
        let mut acts = Acts::new(1, k, &[form]).expect("a little memory");
        acts.reset(form, k);
        acts.set(kernels, 0, &x);
        let mut out = vec![f32::NAN; panel::rows(ty)];
        matmul_panel(kernels, ty, &packed, &acts, 1, &mut out);
        if wrong.is_none() {
            assert!(out[1..].iter().all(|v| *v == 0.0), "{ty}: rows that are not there: {out:?}");
        }
    }

    if wrong.is_none() && values.iter().all(|v| v.abs() < 6e4) {
        for &ty in WEIGHT_TYPES.iter().filter(|ty| k.is_multiple_of(ty.block_size() as usize)) {
            let mut bytes = vec![0; quant::row_bytes(ty, k)];
            quant::quantize_row(ty, &values, &mut bytes);
            assert_eq!(quant::first_not_finite(ty, &bytes), None, "{ty}");
        }
    }
});
